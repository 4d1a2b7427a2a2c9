"""Targets: the image that an attack drives latents to."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import ImageSize
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.images.arrays import read_image
from photoguard_eval.images.files import read_size

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion

NAMED_TARGETS = ("gray", "zero", "pattern")

PATTERN_PERIODS = 16
"""Periods of the pattern along a side: as Mist's target, it is dense and of full contrast."""


def require_target(target: str) -> None:
    """Check the name or path of a target.

    Raises:
        ConfigurationError: If it is neither.
    """
    if target not in NAMED_TARGETS and not Path(target).is_file():
        names = ", ".join(repr(name) for name in NAMED_TARGETS)
        raise ConfigurationError(
            f"target is {target!r}; expected {names} or the path of an image, and there is no such file."
        )


def require_target_size(target: str, sizes: Collection[ImageSize]) -> None:
    """Check that a target image has the size of the images to immunize.

    Raises:
        ConfigurationError: If it has another.
    """
    if target in NAMED_TARGETS:
        return
    height, width = read_size(target)
    for other_height, other_width in sizes:
        if (height, width) != (other_height, other_width):
            raise ConfigurationError(
                f"The target image {target} is {width} × {height}, the images are {other_width} × {other_height} "
                "(width × height). Resize the target."
            )


def target_inputs(target: str) -> dict[str, str]:
    """Return the hash of a target's file for the provenance; nothing for a named target."""
    return {} if target in NAMED_TARGETS else {"target": sha256_of_file(Path(target))}


def encode_target(target: str, model: LatentDiffusion, images: torch.Tensor) -> torch.Tensor:
    """Return a target's latents, as `LatentDiffusion.encode` gives them.

    Args:
        target: "gray", the latents of a mid-gray image; "zero", the zero latent; "pattern", those of a chequered image
            of full contrast; or the path of an image of the size of `images`.
        model: The model.
        images: Images to immunize, (N, 3, H, W).

    Returns:
        Shape (1, C, h, w), without gradient.

    Raises:
        ConfigurationError: If the target image has another size than the images.
        InvalidImageError: If it cannot be read.
    """
    import torch

    with torch.no_grad():
        if target == "gray":
            return model.encode(torch.full_like(images[:1], 0.5))
        if target == "zero":
            return torch.zeros_like(model.encode(images[:1]))
        if target == "pattern":
            return model.encode(pattern(*images.shape[-2:]).to(images))
        require_target_size(target, [(images.shape[-2], images.shape[-1])])
        return model.encode(read_image(target).to(images))


def pattern(height: int, width: int) -> torch.Tensor:
    """Draw a chequered image of black and white, (1, 3, H, W)."""
    import torch

    rows = torch.arange(height) * 2 * PATTERN_PERIODS // height
    columns = torch.arange(width) * 2 * PATTERN_PERIODS // width
    squares = (rows[:, None] + columns[None]) % 2
    return squares.float().expand(1, 3, height, width)
