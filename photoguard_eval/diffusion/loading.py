"""Loads a checkpoint: one that the package carries, a folder in diffusers' layout, a hub id, or a single file.

All of them go through the same code. Weights are safetensors only, and the safety checker is not loaded: it blacks
images out, which would count as a protected edit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval import resources
from photoguard_eval.diffusion.hub import PUBLISHED, find_snapshot, is_hub_id
from photoguard_eval.diffusion.latent_diffusion import Kind, LatentDiffusion, kind_of_unet
from photoguard_eval.diffusion.single_file import convert_single_file
from photoguard_eval.diffusion.text import TextEncoder
from photoguard_eval.diffusion.weights import (
    COMPONENTS,
    SECOND_TEXT,
    components_of,
    files_of,
    refuse_pickles,
    variant_of,
)
from photoguard_eval.errors import ConfigurationError, ModelError, UnknownNameError, UnreadableFileError
from photoguard_eval.files import parse_json, read_text, sha256_of_file, sha256_of_json

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL = "inpaint-a"
"""The embedded checkpoint that stands in for Stable Diffusion on a processor."""

DEFAULT_GPU_MODEL = "stable-diffusion-v1-5/stable-diffusion-inpainting"
"""What the paper attacks, and what runs on a GPU unless another model is asked for."""

MODEL_INDEX = "model_index.json"

DTYPES = ("float32", "float16", "bfloat16")

CONSISTENCY_SETTINGS = {"num_inference_steps": 4}
"""What latent consistency models are published for (Luo et al. 2023: 2 to 4 steps)."""

SUPPORTED_CLASSES = {
    "vae": ("AutoencoderKL",),
    "unet": ("UNet2DConditionModel",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
"""What the components may be. Another class could load, with its weights left out, and be a random model."""


@dataclass(frozen=True)
class ModelIdentity:
    """What a checkpoint is, found out without loading it.

    Attributes:
        name: The name it was asked for by.
        path: Its folder.
        revision: Commit of the hub, or "" for a folder.
        weights_sha256: Hash over configurations, tokenizer and weights of all components.
        kind: What its UNet was trained for.
        native_size: Side of the images that it was trained on, in pixels; None if its configuration does not say.
        settings: Settings of an edit that the checkpoint prescribes, as those of few steps do; by name.
    """

    name: str
    path: Path
    revision: str
    weights_sha256: str
    kind: Kind
    native_size: int | None = None
    settings: Mapping[str, float] = field(default_factory=dict)


def identify_model(name_or_path: str, revision: str | None = None) -> ModelIdentity:
    """Find a checkpoint and hash it, without loading torch.

    Args:
        name_or_path: Name of an embedded checkpoint, a diffusers folder, a hub id `owner/name` or a safetensors file.
        revision: Commit, tag or branch of a hub id; None for the pinned one, see `PUBLISHED`, or the newest.

    Raises:
        UnknownNameError: If a plain name is no embedded checkpoint.
        ModelError: If a folder or hub id is no complete checkpoint, or cannot be had.
    """
    folder = find_checkpoint(name_or_path, revision)
    digest = sha256_of_json([[str(path.relative_to(folder)), sha256_of_file(path)] for path in files_of(folder)])
    unet, vae = _config(folder, "unet"), _config(folder, "vae")
    return ModelIdentity(
        name=_name_of(name_or_path),
        path=folder,
        revision=folder.name if "/" in name_or_path and not Path(name_or_path).exists() else "",
        weights_sha256=digest,
        # Where a configuration leaves the channels out, diffusers takes four.
        kind=kind_of_unet(unet.get("in_channels", 4), vae.get("latent_channels", 4)),
        native_size=_native_size(unet, vae),
        settings=_prescribed_settings(name_or_path, unet),
    )


def _name_of(name_or_path: str) -> str:
    path = Path(name_or_path)
    if path.is_file():
        return path.stem
    return path.resolve().name if path.is_dir() else name_or_path


def _native_size(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> int | None:
    latents, levels = unet.get("sample_size"), vae.get("block_out_channels")
    return latents * 2 ** (len(levels) - 1) if isinstance(latents, int) and levels else None


def _prescribed_settings(name: str, unet: Mapping[str, Any]) -> Mapping[str, float]:
    if unet.get("time_cond_proj_dim") is not None:
        return CONSISTENCY_SETTINGS
    return PUBLISHED[name].settings if name in PUBLISHED else {}


def default_model(device: str) -> str:
    """Return the model that runs on a device unless another is asked for."""
    return DEFAULT_MODEL if device == "cpu" else DEFAULT_GPU_MODEL


def load_model(
    name_or_path: str = DEFAULT_MODEL,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
    checkpointing: bool | None = None,
    vae_tiling: bool = False,
    cpu_offload: bool = False,
    compiled: bool = False,
) -> LatentDiffusion:
    """Load a checkpoint.

    Args:
        name_or_path: Name of an embedded checkpoint, a diffusers folder, a hub id `owner/name` or a safetensors file.
        device: "cpu", "cuda" or "cuda:<number>".
        dtype: What to compute in: "float32", "float16" or "bfloat16".
        revision: Commit, tag or branch of a hub id; None for the pinned one, see `PUBLISHED`, or the newest.
        checkpointing: See `LatentDiffusion.checkpoint_gradients`; None for where memory is scarce, on a GPU.
        vae_tiling: Whether images larger than the autoencoder was trained on pass through it in overlapping tiles. It
            takes less memory, and changes the result.
        cpu_offload: Whether the text encoders stay on the processor, in float32. A prompt passes through them once;
            the autoencoder and the UNet are needed in turn at every step, and stay on the device.
        compiled: See `LatentDiffusion.compile_networks`.

    Raises:
        UnknownNameError: If a plain name is no embedded checkpoint.
        ModelError: If the checkpoint is incomplete, of an unsupported kind or cannot be had, the device is not there
            or does not compute in the dtype, or the networks cannot be compiled for it.
        ConfigurationError: If the dtype or device is unknown.
    """
    numbers = dtype_of(dtype)
    require_device(device)
    _require_instructions(device, dtype)
    folder = find_checkpoint(name_or_path, revision)
    import torch

    try:
        vae, unet, text = _load_components(folder, numbers, torch.float32 if cpu_offload else numbers)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The checkpoint {folder} cannot be loaded: {error}. It must be a whole diffusers folder with safetensors "
            "weights."
        ) from error
    # Measured on two cores in float32, batch of 8: 6 % faster for the UNet with channels last, 9 % for the autoencoder,
    # forward and backward alike.
    for part in (unet, vae):
        part.to(memory_format=torch.channels_last)
    for encoder in text.encoders:
        encoder.to("cpu" if cpu_offload else device)
    if vae_tiling:
        vae.enable_tiling()
    model = LatentDiffusion(vae.to(device), unet.to(device), text, _config(folder, "scheduler"))
    if checkpointing or (checkpointing is None and device != "cpu"):
        model.checkpoint_gradients()
    if compiled:
        model.compile_networks()
    return model


def dtype_of(name: str) -> torch.dtype:
    """Return the type of PyTorch's that a name stands for.

    Raises:
        ConfigurationError: If it is none that models compute in.
    """
    if name not in DTYPES:
        raise ConfigurationError(f"dtype is {name!r}; expected one of {', '.join(DTYPES)}.")
    import torch

    numbers: torch.dtype = getattr(torch, name)
    return numbers


def read_configurations(folder: Path) -> dict[str, dict[str, Any]]:
    """Return a checkpoint's index, as "model", and the configurations of its components that have one.

    Args:
        folder: From `find_checkpoint`.

    Raises:
        ModelError: If one cannot be read.
    """
    configurations = {name: _config(folder, name) for name in components_of(folder) if not name.startswith("tokenizer")}
    return {**configurations, "model": _read_json(folder / MODEL_INDEX)}


def _load_components(folder: Path, numbers: torch.dtype, text_numbers: torch.dtype) -> tuple[Any, Any, TextEncoder]:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    names = components_of(folder)
    text = TextEncoder(
        encoders=tuple(
            _load_weights(kind, folder, name, text_numbers) for name, kind in text_encoder_classes(names).items()
        ),
        tokenizers=tuple(
            CLIPTokenizer.from_pretrained(folder, subfolder=name, local_files_only=True)
            for name in ("tokenizer", "tokenizer_2")
            if name in names
        ),
        empty_is_zero=empty_is_zero(_read_json(folder / MODEL_INDEX)),
    )
    # The autoencoder of Stable Diffusion XL overflows in float16, unless it is the mended one, which says so.
    overflows = len(text.encoders) > 1 and bool(_config(folder, "vae").get("force_upcast", True))
    exact = torch.float32 if overflows and numbers == torch.float16 else numbers
    return (
        _load_weights(AutoencoderKL, folder, "vae", exact),
        _load_weights(UNet2DConditionModel, folder, "unet", numbers),
        text,
    )


def text_encoder_classes(components: Collection[str]) -> dict[str, Any]:
    """Return the classes of the text encoders that are among a checkpoint's components, by component and in order."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    return {name: kind for name, kind in classes.items() if name in components}


def empty_is_zero(index: Mapping[str, Any]) -> bool:
    """Tell from a checkpoint's index whether guidance leads away from zeros; see `TextEncoder`."""
    return has_second_text(index) and bool(index.get("force_zeros_for_empty_prompt", True))


def has_second_text(index: Mapping[str, Any]) -> bool:
    """Tell from a checkpoint's index whether it has a second text encoder, as Stable Diffusion XL."""
    return any(index.get("text_encoder_2") or [])


def _load_weights(model_class: Any, folder: Path, component: str, numbers: torch.dtype) -> Any:
    """Load a component, and refuse it if weights are missing: the libraries only warn, and leave random numbers."""
    model, loaded = model_class.from_pretrained(
        folder,
        subfolder=component,
        use_safetensors=True,
        variant=variant_of(folder / component),
        local_files_only=True,
        dtype=numbers,
        output_loading_info=True,
    )
    missing = sorted(loaded["missing_keys"])
    if missing:
        raise ModelError(
            f"{folder / component} lacks {len(missing)} of the weights that its configuration asks for, first "
            f"{missing[0]}. Restore the files from the checkpoint."
        )
    return model


def require_device(device: str) -> None:
    """Check that a device is there.

    Args:
        device: "cpu", "cuda" or "cuda:<number>".

    Raises:
        ConfigurationError: If it is none of these.
        ModelError: If it is a GPU and there is none, or not so many.
    """
    if device == "cpu":
        return
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise ConfigurationError(f"device is {device!r}; expected 'cpu', 'cuda' or 'cuda:<number>'.")
    import torch

    if not torch.cuda.is_available():
        raise ModelError(
            "--gpu needs a CUDA device, and torch sees none. Run on a machine with a GPU and a CUDA build of torch "
            "(check with `python -c 'import torch; print(torch.cuda.is_available())'`), or leave --gpu out to run on "
            "the processor."
        )
    number, count = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    if number >= count:
        raise ModelError(f"There is no device {device!r}: torch sees {count}, numbered from 0. Choose one of them.")


def _require_instructions(device: str, dtype: str) -> None:
    """Check that a device computes in a type, rather than to convert every number back and forth.

    Raises:
        ModelError: If it does not.
    """
    if dtype == "float32" or _has_instructions(device, dtype):
        return
    kind = "GPU" if device.startswith("cuda") else "processor"
    raise ModelError(
        f"This {kind} has no instructions for {dtype}, so that an edit would take many times as long as in full "
        "precision. Use --dtype float32" + ("." if kind == "processor" else " or float16.")
    )


def _has_instructions(device: str, dtype: str) -> bool:
    import torch

    if device.startswith("cuda"):
        return dtype != "bfloat16" or torch.cuda.is_bf16_supported(including_emulation=False)
    supported = {
        "float16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
        "bfloat16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
    }
    return bool(supported[dtype]())


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
    embedded = resources.embedded_checkpoints()
    if name_or_path in embedded:
        return embedded[name_or_path]
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
        embedded,
        "Or give a diffusers folder or a safetensors file that exists, or a hub id as owner/name.",
    )


def _require_complete(folder: Path) -> None:
    missing = [name for name in COMPONENTS if not (folder / name).is_dir()]
    if not (folder / MODEL_INDEX).is_file():
        missing.insert(0, MODEL_INDEX)
    elif has_second_text(_read_json(folder / MODEL_INDEX)):
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
    index = _read_json(folder / MODEL_INDEX)
    named = [name for name in SUPPORTED_CLASSES if name not in SECOND_TEXT or has_second_text(index)]
    found = {name: (index.get(name) or [None, None])[1] for name in named}
    others = [f"{name} {found[name]}" for name in named if found[name] not in SUPPORTED_CLASSES[name]]
    if others:
        raise ModelError(
            f"{folder} is no checkpoint of a supported kind: it has {', '.join(others)}. Supported are checkpoints "
            "like Stable Diffusion 1, 2 and XL (AutoencoderKL, UNet2DConditionModel, CLIPTextModel, and for XL "
            "CLIPTextModelWithProjection beside it)."
        )


def _config(folder: Path, component: str) -> dict[str, Any]:
    name = "scheduler_config.json" if component == "scheduler" else "config.json"
    return _read_json(folder / component / name)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_text(path))
    except (UnreadableFileError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}). Restore it from the checkpoint.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object. Restore it from the checkpoint.")
    return content
