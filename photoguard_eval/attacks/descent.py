"""Projected gradient descent, once, for every attack that follows a gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from photoguard_eval.attacks.ball import Ball
from photoguard_eval.attacks.loss_scale import LossScale
from photoguard_eval.errors import AttackError

if TYPE_CHECKING:
    import torch

FINAL_STEP_SHARE = 0.01
"""What a decaying step size ends at, as a share of its first value; as in the paper's released encoder attack."""


def projected_gradient_descent(
    images: torch.Tensor,
    loss: Callable[[torch.Tensor], torch.Tensor],
    *,
    budget: Ball,
    region: torch.Tensor,
    steps: int,
    step_size: float,
    start: torch.Tensor | None = None,
    decay: bool = False,
    loss_scale: LossScale | None = None,
) -> torch.Tensor:
    """Minimise a loss over perturbations of bounded norm (Madry et al. 2018; the paper's Eq. 3 to 5).

    Each step goes against the gradient, by its sign for ℓ∞ and by the normalised gradient for ℓ2, and is projected
    onto the ball around the images and onto [0, 1]. (The paper's Algorithms 1 and 2 print the update with the other
    sign and subtract an accumulated perturbation again at each step; this is the descent on Eq. 4 and 5 they mean.)

    Args:
        images: Shape (N, 3, H, W) in [0, 1].
        loss: Given perturbed images (N, 3, H, W), returns one loss per image, (N,). Image i's loss may depend on
            image i only.
        budget: Norm and radius of the ball.
        region: Shape (N, 1, H, W): 1 where a pixel may change, 0 where it must not.
        steps: Number of steps.
        step_size: Length of a step in the norm of the budget, in [0, 1] units.
        start: Perturbation to start from, (N, 3, H, W); zero by default.
        decay: Whether the step size falls linearly to `FINAL_STEP_SHARE` of its value.
        loss_scale: For a loss that is computed in float16.

    Returns:
        Shape (N, 3, H, W) in [0, 1]; equal to `images` outside of the region.

    Raises:
        AttackError: If the loss or its gradient is not finite.
    """
    import torch

    scale = loss_scale or LossScale(images.dtype)
    perturbed = images if start is None else budget.project(images, start * region)
    for step in range(steps):
        point = perturbed.detach().requires_grad_(True)
        with torch.enable_grad():
            losses, (gradient,) = scale.differentiate(partial(loss, point), [point])
        if not (torch.isfinite(losses).all() and torch.isfinite(gradient).all()):
            raise AttackError(
                f"The loss or its gradient is not finite at step {step + 1} of {steps}. "
                "Use float32, or a smaller step size."
            )
        share = 1 - (1 - FINAL_STEP_SHARE) * step / steps if decay else 1.0
        direction = budget.steepest(gradient * region)
        moved = point.detach() - share * step_size * direction
        perturbed = budget.project(images, moved - images)
    return perturbed.detach()
