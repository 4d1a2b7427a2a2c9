"""The budget, enforced by the harness on what is saved, not by the attack on what it computed.

The order matters. An image that an attack returns outside of its ball is refused: projecting it would score another
method. An image inside is rounded to 8 bits, which may carry a value over the bound by less than one level; that alone
is brought back. What counts is measured on the decoded file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoguard_eval.attacks.ball import Ball
from photoguard_eval.errors import BudgetExceededError
from photoguard_eval.images.arrays import LEVELS, to_8bit

if TYPE_CHECKING:
    import torch

TOLERANCE_LEVELS = 1e-3
"""How far over ε a returned image may lie, in levels: room for float32 arithmetic and nothing else."""


@dataclass(frozen=True)
class Perturbation:
    """How far an 8-bit image lies from its original.

    Attributes:
        linf_levels: Largest change of a channel value, in levels of 1/255.
        rms_levels: Root mean square change over all channel values, in levels of 1/255.
    """

    linf_levels: float
    rms_levels: float


def measure_perturbation(original: torch.Tensor, immunized: torch.Tensor) -> Perturbation:
    """Measure the change from one image to another.

    Args:
        original: Shape (C, H, W), in [0, 1].
        immunized: The same shape.
    """
    change = (immunized.double() - original.double()) * LEVELS
    # Levels of saved files are whole numbers; float32 in [0, 1] carries them to four decimals.
    return Perturbation(round(float(change.abs().max()), 4), round(float(change.square().mean().sqrt()), 4))


def require_within_budget(original: torch.Tensor, immunized: torch.Tensor, budget: Ball, name: str) -> Perturbation:
    """Check an image against a budget.

    Args:
        original: Shape (C, H, W), in [0, 1].
        immunized: The same shape.
        budget: The budget.
        name: The case, for the error.

    Returns:
        The measured change.

    Raises:
        BudgetExceededError: If it is more than `TOLERANCE_LEVELS` over the bound.
    """
    perturbation = measure_perturbation(original, immunized)
    excess = budget.size(perturbation) - budget.levels
    if excess > TOLERANCE_LEVELS:
        raise BudgetExceededError(
            f"{name}: the {budget.measure} is {budget.levels + excess:.3f} levels of 1/255, {excess:.3f} over the "
            f"budget of {budget.levels:.3f} ({budget}). The attack must stay within its budget; give it a larger one "
            "if that is what it is meant to use."
        )
    return perturbation


def round_within_budget(original: torch.Tensor, immunized: torch.Tensor, budget: Ball) -> torch.Tensor:
    """Round an image to 8 bits and bring back what rounding carried over the bound.

    Args:
        original: Shape (C, H, W), multiples of 1/255 in [0, 1].
        immunized: The same shape, within the budget.
        budget: The budget.

    Returns:
        The same shape, uint8; at most one level from the rounded image, and within the budget.
    """
    import torch

    base = to_8bit(original).int()
    rounded = to_8bit(immunized).int()
    change = (immunized.double() - original.double()) * LEVELS
    rounded = budget.round_inwards(base, rounded, change)
    return rounded.clamp(0, LEVELS).to(torch.uint8)
