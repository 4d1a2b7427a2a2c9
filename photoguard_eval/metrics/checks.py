"""What images a metric takes: those of the one convention, so that no score is of something else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from photoguard_eval.errors import MetricError

if TYPE_CHECKING:
    import torch

RANGE_TOLERANCE = 1e-4
"""How far a value may lie outside of its range by float32 arithmetic; it is clipped. What lies further is an error."""


def require_images(subject: str, images: torch.Tensor, names: Sequence[str] = ()) -> None:
    """Check images by the one convention. An image in another range has a score too, and a wrong one.

    Args:
        subject: What the images were given to, as the first words of the error.
        images: Shape (N, 3, H, W), N ≥ 1, floating point, in [0, 1]; less than `RANGE_TOLERANCE` outside is rounding.
        names: N names, for errors; without them an image is called by its number.

    Raises:
        MetricError: If the images are of another shape or type, not finite, or outside of the range.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.numel():
        raise MetricError(f"{subject} was given images of shape {tuple(images.shape)}; expected (N, 3, H, W).")
    require_range(subject, "an image", images, names)


def require_range(subject: str, what: str, values: torch.Tensor, names: Sequence[str]) -> None:
    """Check that values are floating point numbers in [0, 1].

    Args:
        subject: What they were given to, as the first words of the error.
        what: What one of them is, "an image".
        values: Shape (N, …); less than `RANGE_TOLERANCE` outside is rounding.
        names: N names, for errors; without them a value is called by its number.

    Raises:
        MetricError: If they are of another type, not finite, or outside of the range.
    """
    if not values.is_floating_point():
        raise MetricError(
            f"{subject} was given {what} of type {values.dtype}; expected floating point numbers in [0, 1]. Divide the "
            "values of 8 bits by 255."
        )
    # The extremes of an image are NaN if one of its values is, so that one pass finds all that is wrong.
    extremes = zip(*(bounds.tolist() for bounds in values.detach().flatten(1).aminmax(dim=1)), strict=True)
    for index, (low, high) in enumerate(extremes):
        if low >= -RANGE_TOLERANCE and high <= 1 + RANGE_TOLERANCE:
            continue
        which = f"{what} of {names[index]}" if names else f"{what}, number {index + 1} of {len(values)},"
        if not (math.isfinite(low) and math.isfinite(high)):
            # Not left to the score: the sorting inside DSS, for one, turns NaN pixels into a perfect similarity.
            raise MetricError(
                f"{subject} was given {which} with values that are NaN or infinite; expected [0, 1]. Look at what made "
                "it."
            )
        raise MetricError(
            f"{subject} was given {which} with values from {low:g} to {high:g}; expected [0, 1]. Scale them: from "
            "[-1, 1] by (x + 1) / 2, from [0, 255] by x / 255."
        )
