"""What a checkpoint is, found out without loading it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from photoguard_eval.diffusion.checkpoints.folder import find_checkpoint, read_config
from photoguard_eval.diffusion.checkpoints.hub import PUBLISHED
from photoguard_eval.diffusion.checkpoints.weights import files_of
from photoguard_eval.diffusion.kinds import Kind, kind_of_unet
from photoguard_eval.diffusion.schedules import ConsistencySchedule
from photoguard_eval.files import sha256_of_file, sha256_of_json

DEFAULT_MODEL = "inpaint-a"
"""The embedded checkpoint that stands in for Stable Diffusion on a processor."""

DEFAULT_GPU_MODEL = "stable-diffusion-v1-5/stable-diffusion-inpainting"
"""What the paper attacks, and what runs on a GPU unless another model is asked for."""


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

    Example:
        >>> from photoguard_eval.diffusion import identify_model
        >>> model = identify_model("inpaint-a")
        >>> model.kind, model.native_size
        ('inpainting', 64)
    """
    folder = find_checkpoint(name_or_path, revision)
    digest = sha256_of_json([[name, sha256_of_file(path)] for name, path in files_of(folder).items()])
    unet, vae = read_config(folder, "unet"), read_config(folder, "vae")
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
        return ConsistencySchedule.prescribed
    return PUBLISHED[name].settings if name in PUBLISHED else {}


def default_model(device: str) -> str:
    """Return the model that runs on a device unless another is asked for."""
    return DEFAULT_MODEL if device == "cpu" else DEFAULT_GPU_MODEL
