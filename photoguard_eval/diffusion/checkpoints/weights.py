"""Which files of a checkpoint are loaded: weights in safetensors, in half precision where there are no others."""

from __future__ import annotations

from pathlib import Path

from photoguard_eval.diffusion.checkpoints.shared_weights import entries
from photoguard_eval.errors import ModelError

COMPONENTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")

SECOND_TEXT = ("text_encoder_2", "tokenizer_2")
"""What Stable Diffusion XL has besides."""

WITH_WEIGHTS = ("vae", "unet", "text_encoder", "text_encoder_2")
"""Components that have weights, where they are there."""

HALF = "fp16"
"""Name of the variant in half precision; some checkpoints have no other weights in safetensors."""


def components_of(folder: Path) -> list[str]:
    """Return the components that are loaded of a checkpoint's folder."""
    return [*COMPONENTS, *(component for component in SECOND_TEXT if (folder / component).is_dir())]


def without_weights(folder: Path) -> list[str]:
    """Return the components of a checkpoint's folder that have no weights in safetensors."""
    return [
        component
        for component in WITH_WEIGHTS
        if component in components_of(folder)
        and not _has(folder / component, None)
        and not _has(folder / component, HALF)
    ]


def variant_of(folder: Path) -> str | None:
    """Return the variant to load of a component: None for plain weights, `HALF` where there are no others."""
    return HALF if _has(folder, HALF) and not _has(folder, None) else None


def _takes_part(path: Path) -> bool:
    """Tell whether a file of a component decides what the loaded model is.

    Variants that a cache may hold beside the weights, such as `model.fp16.safetensors`, are loaded only where there is
    nothing else; nor do the names of the shards matter beside their content.
    """
    if path.suffix == ".safetensors":
        return _is_of(path, variant_of(path.parent))
    return path.suffix in (".json", ".txt") and ".index." not in path.name


def _has(folder: Path, variant: str | None) -> bool:
    return any(path.suffix == ".safetensors" and _is_of(path, variant) for path in entries(folder))


def _is_of(path: Path, variant: str | None) -> bool:
    _, dot, named = path.stem.partition(".")
    return named.startswith(variant) if variant else not dot


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files that decide what the loaded model is, component by component, by their names in the folder."""
    found = {place: lies for component in components_of(folder) for place, lies in entries(folder / component).items()}
    return {str(place.relative_to(folder)): found[place] for place in sorted(found) if _takes_part(place)}


def refuse_pickles(folder: Path) -> None:
    """Check that all components have weights in safetensors.

    Raises:
        ModelError: If one has none.
    """
    lacking = without_weights(folder)
    if lacking:
        raise ModelError(
            f"{folder} has no safetensors weights for {', '.join(lacking)}. Pickled weights (.bin, .ckpt) can run code "
            "when they are read, so they are refused. Convert them with diffusers' `save_pretrained`."
        )
