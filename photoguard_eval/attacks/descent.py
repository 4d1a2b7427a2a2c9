"""Projected gradient descent, once, for every attack that follows a gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import ThreatModel
from photoguard_eval.attacks.loss_scale import LossScale
from photoguard_eval.errors import AttackError

if TYPE_CHECKING:
    import torch

    from photoguard_eval.randomness import CaseGenerators

FINAL_STEP_SHARE = 0.01
"""What a decaying step size ends at, as a share of its first value; as in the paper's released encoder attack."""


def projected_gradient_descent(
    images: torch.Tensor,
    loss: Callable[[torch.Tensor], torch.Tensor],
    *,
    threat_model: ThreatModel,
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
        threat_model: Norm and radius of the ball.
        region: Shape (N, 1, H, W): 1 where a pixel may change, 0 where it must not.
        steps: Number of steps.
        step_size: Length of a step in the norm of the threat model, in [0, 1] units.
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
    perturbed = images if start is None else project(images, start * region, threat_model)
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
        direction = _steepest(gradient * region, threat_model)
        moved = point.detach() - share * step_size * direction
        perturbed = project(images, moved - images, threat_model)
    return perturbed.detach()


def uniform_start(images: torch.Tensor, threat_model: ThreatModel, generator: CaseGenerators) -> torch.Tensor:
    """Draw a perturbation uniformly from [−ε, ε], shape of `images`.

    For ℓ2 the bound is on the root mean square, and a uniform draw from [−√3·ε, √3·ε] has just that in expectation;
    the descent projects what exceeds it.
    """
    bound = threat_model.epsilon * (3**0.5 if threat_model.norm == "l2" else 1.0)
    return generator.uniform(images.shape[1:], -bound, bound, images)


def _steepest(gradient: torch.Tensor, threat_model: ThreatModel) -> torch.Tensor:
    if threat_model.norm == "linf":
        return gradient.sign()
    return gradient / _root_mean_square(gradient).clamp_min(1e-30)


def project(images: torch.Tensor, perturbation: torch.Tensor, threat_model: ThreatModel) -> torch.Tensor:
    """Add a perturbation to images after projection onto the ball, and clip to [0, 1]; differentiable.

    Args:
        images: Shape (N, 3, H, W) in [0, 1].
        perturbation: Same shape.
        threat_model: Norm and radius of the ball.
    """
    if threat_model.norm == "linf":
        perturbation = perturbation.clamp(-threat_model.epsilon, threat_model.epsilon)
    else:
        size = _root_mean_square(perturbation)
        perturbation = perturbation * (threat_model.epsilon / size.clamp_min(1e-30)).clamp(max=1.0)
    # Clipping to [0, 1] moves a value towards the image, which lies inside, so it never leaves the ball again.
    return (images + perturbation).clamp(0, 1)


def _root_mean_square(values: torch.Tensor) -> torch.Tensor:
    return values.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
