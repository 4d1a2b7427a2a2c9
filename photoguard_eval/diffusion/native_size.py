"""How far an image may be from the size that a model was trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from photoguard_eval.diffusion.checkpoints.identify import ModelIdentity
from photoguard_eval.errors import ConfigurationError

LARGEST_RESIZING = 1.6
"""How far images may be from the size that a model was trained on; Stable Diffusion 1 still draws at 768 pixels."""

LARGEST_ENLARGEMENT = 4.0
"""From how much more on an image is refused. The work of self-attention grows with the fourth power of the side: at
four times the side a layer takes 256 times as long, and a phone's photograph on a model of 64 pixels takes days."""


def is_far_from_native(model: ModelIdentity, size: tuple[int, int]) -> bool:
    """Tell whether images of a size, height and width, are not such as a model was trained on."""
    return not 1 / LARGEST_RESIZING <= _enlargement(model, size) <= LARGEST_RESIZING


def require_workable_size(model: ModelIdentity, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Check that no image is so large that a model would work on it for hours, and draw no scene in the end.

    Args:
        model: The model.
        sizes: Height and width of each image, by its name.

    Raises:
        ConfigurationError: If one is more than `LARGEST_ENLARGEMENT` times as large as the model's own.
    """
    for name, (height, width) in sizes.items():
        if _enlargement(model, (height, width)) > LARGEST_ENLARGEMENT:
            native = model.native_size
            raise ConfigurationError(
                f"{name} is {width} × {height}, and {model.name} was trained on images of {native} × {native}. Work on "
                f"more than {LARGEST_ENLARGEMENT:g} times the side takes hours and gives no scene. Resize it to about "
                f"{native} pixels first, or give a model of larger images with --model."
            )


def _enlargement(model: ModelIdentity, size: tuple[int, int]) -> float:
    """Return the side of an image as a multiple of the model's own; 1 for a model whose size is not known."""
    return math.sqrt(size[0] * size[1]) / model.native_size if model.native_size else 1.0
