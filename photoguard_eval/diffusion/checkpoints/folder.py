"""The folder of a checkpoint: where it is, whether it is whole, and its configurations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photoguard_eval import resources
from photoguard_eval.diffusion.checkpoints.hub import find_snapshot, is_hub_id
from photoguard_eval.diffusion.checkpoints.single_file import convert_single_file
from photoguard_eval.diffusion.checkpoints.weights import COMPONENTS, SECOND_TEXT, components_of, refuse_pickles
from photoguard_eval.errors import ModelError, UnknownNameError, UnreadableFileError
from photoguard_eval.files import parse_json, read_text

MODEL_INDEX = "model_index.json"

SUPPORTED_CLASSES = {
    "vae": ("AutoencoderKL",),
    "unet": ("UNet2DConditionModel",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
"""What the components may be. Another class could load, with its weights left out, and be a random model."""


def find_checkpoint(name_or_path: str, revision: str | None) -> Path:
    """Return the folder of an embedded checkpoint, a local one, or one of the hub, that holds all that is loaded.

    Args:
        name_or_path: Name of an embedded checkpoint, a diffusers folder, a hub id `owner/name` or a safetensors file.
        revision: Commit, tag or branch of a hub id; None for the pinned one or the newest.

    Raises:
        UnknownNameError: If a plain name is no embedded checkpoint.
        ModelError: If a hub id cannot be had, or the checkpoint is incomplete or of an unsupported kind.
    """
    folder = _find_folder(name_or_path, revision)
    _require_complete(folder)
    _require_supported(folder)
    return folder


def _find_folder(name_or_path: str, revision: str | None) -> Path:
    embedded = resources.embedded_checkpoint(name_or_path)
    if embedded is not None:
        return embedded
    path = Path(name_or_path)
    if name_or_path and path.is_dir():
        return path
    if path.is_file():
        return convert_single_file(path)
    if is_hub_id(name_or_path):
        return find_snapshot(name_or_path, revision)
    raise UnknownNameError(
        "model",
        name_or_path,
        resources.embedded_checkpoints(),
        "Or give a diffusers folder or a safetensors file that exists, or a hub id as owner/name.",
    )


def _require_complete(folder: Path) -> None:
    missing = [name for name in COMPONENTS if not (folder / name).is_dir()]
    if not (folder / MODEL_INDEX).is_file():
        missing.insert(0, MODEL_INDEX)
    elif has_second_text(read_json(folder / MODEL_INDEX)):
        missing += [name for name in SECOND_TEXT if not (folder / name).is_dir()]
    if missing:
        raise ModelError(
            f"{folder} is no complete diffusers checkpoint: {', '.join(missing)} missing. Give the folder that "
            "`save_pretrained` wrote, with model_index.json and all components."
        )
    if not any((folder / "tokenizer" / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelError(
            f"{folder / 'tokenizer'} holds no vocabulary (tokenizer.json, or vocab.json with merges.txt). Restore it "
            "from the checkpoint."
        )
    refuse_pickles(folder)


def _require_supported(folder: Path) -> None:
    """Check that the components are of the classes that are loaded, as the checkpoint's index names them."""
    index = read_json(folder / MODEL_INDEX)
    named = [name for name in SUPPORTED_CLASSES if name not in SECOND_TEXT or has_second_text(index)]
    found = {name: (index.get(name) or [None, None])[1] for name in named}
    others = [f"{name} {found[name]}" for name in named if found[name] not in SUPPORTED_CLASSES[name]]
    if others:
        raise ModelError(
            f"{folder} is no checkpoint of a supported kind: it has {', '.join(others)}. Supported are checkpoints "
            "like Stable Diffusion 1, 2 and XL (AutoencoderKL, UNet2DConditionModel, CLIPTextModel, and for XL "
            "CLIPTextModelWithProjection beside it)."
        )


def read_config(folder: Path, component: str) -> dict[str, Any]:
    """Return the configuration of a component.

    Raises:
        ModelError: If it cannot be read.
    """
    name = "scheduler_config.json" if component == "scheduler" else "config.json"
    return read_json(folder / component / name)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a file of a checkpoint holds.

    Raises:
        ModelError: If it cannot be read, or holds something else.
    """
    try:
        content = parse_json(read_text(path))
    except (UnreadableFileError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}). Restore it from the checkpoint.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object. Restore it from the checkpoint.")
    return content


def read_configurations(folder: Path) -> dict[str, dict[str, Any]]:
    """Return a checkpoint's index, as "model", and the configurations of its components that have one.

    Args:
        folder: From `find_checkpoint`.

    Raises:
        ModelError: If one cannot be read.
    """
    configurations = {
        name: read_config(folder, name) for name in components_of(folder) if not name.startswith("tokenizer")
    }
    return {**configurations, "model": read_json(folder / MODEL_INDEX)}


def has_second_text(index: Mapping[str, Any]) -> bool:
    """Tell from a checkpoint's index whether it has a second text encoder, as Stable Diffusion XL."""
    return any(index.get("text_encoder_2") or [])
