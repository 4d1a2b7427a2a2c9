"""Masks: which part of an image is edited, white or 1, and which is kept, black or 0."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from photoguard_eval.errors import ConfigurationError, InvalidImageError
from photoguard_eval.images.files import as_rgb, decode_as_stored, has_transparency

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL.Image import Image

MaskSource = Literal["colour", "transparent", "opaque"]
"""What of a mask's file marks the region to edit: white, what is transparent, or what is painted on transparency."""

NEARLY_BLACK, NEARLY_WHITE = 32, 223
"""Levels that all channels of a mask's pixel are below or above, unless it lies on a soft edge."""

LARGEST_SOFT_SHARE = 0.25
"""Share of a mask that may be neither nearly black nor nearly white. Edges that are blurred over 15 pixels take up to
that much of 512 × 512; photographs have twice as much and more."""

LATENT_FACTORS = {"Stable Diffusion": 8, "the embedded models": 4}
"""Pixels per latent along a side, for checks without a model."""

LEAST_LEFT = 0.25
"""Share of its region below which a mask is remarked on: what the model repaints is not what was drawn."""


def read_mask(path: Path | str, source: str = "colour") -> torch.Tensor:
    """Read a mask file.

    Its colours are numbers, so a colour profile changes nothing.

    Args:
        path: An image file that Pillow can read.
        source: What marks the region to edit, see `MaskSource`: by colour, values of 128 and more; by transparency,
            pixels that are transparent, or that are opaque, by half and more.

    Returns:
        Shape (1, 1, H, W), float32, each value 0 (keep) or 1 (edit).

    Raises:
        ConfigurationError: If the source is unknown.
        InvalidImageError: If the file is missing or unreadable, is no mask, or has transparency that the source leaves
            out or lacks the one that it asks for.
    """
    import numpy as np
    import torch

    if source not in get_args(MaskSource):
        raise ConfigurationError(f"The mask is to be taken from {source!r}; expected one of {_sources()}.")
    image = decode_as_stored(Path(path))
    levels = _levels_of_colour(image, Path(path)) if source == "colour" else _levels_of_opacity(image, Path(path))
    marked = levels >= 128 if source != "transparent" else levels < 128
    return torch.from_numpy(np.ascontiguousarray(marked)).to(torch.float32)[None, None]


def _sources() -> str:
    return ", ".join(get_args(MaskSource))


def _levels_of_colour(image: Image, path: Path) -> np.ndarray:
    import numpy as np

    if has_transparency(image) and (np.asarray(image.convert("RGBA").getchannel("A")) < 255).any():
        raise InvalidImageError(
            f"The mask {path} has transparent pixels, so it does not say what is to be edited: white is, and black is "
            "kept. Ask for what is meant with --mask-from: `transparent` edits the transparent part, `opaque` the part "
            "that is painted. Or save it without transparency."
        )
    image.info.pop("icc_profile", None)
    image = as_rgb(image, str(path))
    colours = np.asarray(image)
    soft = (colours.max(axis=2) > NEARLY_BLACK) & (colours.min(axis=2) < NEARLY_WHITE)
    if soft.mean() > LARGEST_SOFT_SHARE:
        raise InvalidImageError(
            f"{path} is no mask: {soft.mean():.0%} of it is neither nearly black nor nearly white. Give one that is "
            "white where the image is to be edited and black where it is kept."
        )
    return np.asarray(image.convert("L"))


def _levels_of_opacity(image: Image, path: Path) -> np.ndarray:
    import numpy as np

    if not has_transparency(image):
        raise InvalidImageError(
            f"The mask {path} has no transparency to take the region from. Leave --mask-from out if white is what is "
            "edited."
        )
    return np.asarray(image.convert("RGBA").getchannel("A"))


def require_partial_mask(mask: torch.Tensor, name: str) -> None:
    """Check that a mask keeps something and edits something.

    Raises:
        InvalidImageError: If the mask is all keep or all edit.
    """
    edited = float(mask.mean())
    if edited in (0.0, 1.0):
        raise InvalidImageError(
            f"{name}: the mask {'keeps' if edited == 0 else 'edits'} every pixel. A mask needs white where the "
            "image is to be edited and black where it is kept, and at least one pixel of each."
        )


def share_left(region: torch.Tensor, factor: int) -> float:
    """Return how much of a region a latent diffusion model sees of it: it takes every `factor`-th pixel of a mask.

    Args:
        region: Shape (1, 1, H, W), 1 inside.
        factor: Pixels per latent along a side.

    Returns:
        The region's share of the latents by its share of the image: about 1 for a large one, 0 for one that is thinner
        than a latent and lies between those pixels.
    """
    return float(region[..., ::factor, ::factor].mean() / region.mean())


def require_latent_mask(mask: torch.Tensor, factor: int, name: str) -> None:
    """Check that a model sees something to edit: else it repaints nothing, which looks like a perfect protection.

    Args:
        mask: Shape (1, 1, H, W), not empty.
        factor: Pixels per latent along a side.
        name: What to call it in an error.

    Raises:
        InvalidImageError: If the region to edit has no latent.
    """
    if share_left(mask, factor) == 0:
        raise InvalidImageError(
            f"{name}: the mask's region is too thin. The model sees only every {factor}th pixel of a mask, and none of "
            f"those is to be edited. Draw the region at least {factor} pixels wide and high."
        )
