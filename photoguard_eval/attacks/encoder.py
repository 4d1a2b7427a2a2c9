"""Attacks on the encoder alone: the paper's, which drives the latents to a target, and PID, which drives them away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from photoguard_eval.attacks.base import DEFAULT_EPSILON, AttackBatch, Norm, register_attack
from photoguard_eval.attacks.gradient import DEFAULT_STEP_SIZE, DEFAULT_STEPS, GradientAttack, TargetedAttack

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators


@register_attack
class EncoderAttack(TargetedAttack):
    """Minimise the distance between the latents of the immunized image and a target's: ‖E(x + δ) − z_targ‖₂.

    Defaults are Table 9's: ℓ∞, ε = 16/255, steps of 2/255, 200 of them. As in the released code the norm is not
    squared, E is the mean of the latent distribution before scaling, the start is uniform in the ball and the step
    size decays linearly to 1 % of its value.
    """

    name = "encoder"
    title = "Immunization (Encoder attack)"
    paper = "Salman et al. 2023, Raising the Cost of Malicious AI-Powered Image Editing, Eq. 4"

    def __init__(
        self,
        *,
        epsilon: float = DEFAULT_EPSILON,
        norm: Norm = "linf",
        step_size: float = DEFAULT_STEP_SIZE,
        steps: int = DEFAULT_STEPS,
        target: str = "gray",
        random_start: bool = True,
        decay: bool = True,
    ) -> None:
        """Configure the attack.

        Args:
            epsilon: See `GradientAttack`, as for the other parameters of the descent.
            norm: See `GradientAttack`.
            step_size: See `GradientAttack`.
            steps: See `GradientAttack`.
            target: What the latents are driven to; see `encode_target`.
            random_start: See `GradientAttack`.
            decay: See `GradientAttack`.

        Raises:
            ConfigurationError: If a value is out of range.
            InvalidImageError: If the target image cannot be read.
        """
        super().__init__(
            epsilon=epsilon, norm=norm, step_size=step_size, steps=steps, random_start=random_start, decay=decay
        )
        self._take_target(target)

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        import torch

        del generator
        difference = self._difference_to_target(model, batch)

        def distance_to_target(images: torch.Tensor) -> torch.Tensor:
            losses: torch.Tensor = torch.linalg.vector_norm(difference(images), dim=1)
            return losses

        return distance_to_target


@register_attack
class PidAttack(GradientAttack):
    """Maximise the change of the latent distribution: mean squared error of its mean plus that of its log-variance.

    No prompt, no timestep and no target: the encoder alone is attacked. At the image itself the loss has no gradient,
    so the descent starts from noise in the ball.
    """

    name = "pid"
    title = "PID"
    paper = "Li et al. 2024, PID: Prompt-Independent Data Protection Against Latent Diffusion Models"
    presets: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "published": {"epsilon": 12.75 / 255, "step_size": 1 / 255, "steps": 1000}
    }

    def __init__(
        self,
        *,
        epsilon: float = DEFAULT_EPSILON,
        norm: Norm = "linf",
        step_size: float = DEFAULT_STEP_SIZE,
        steps: int = DEFAULT_STEPS,
    ) -> None:
        """Configure the descent; see `GradientAttack`."""
        super().__init__(epsilon=epsilon, norm=norm, step_size=step_size, steps=steps, random_start=True)

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        import torch

        del generator
        with torch.no_grad():
            original = model.posterior(batch.visible(batch.images, model))

        def closeness(images: torch.Tensor) -> torch.Tensor:
            moved = model.posterior(batch.visible(images, model))
            mean = ((moved.mean - original.mean) / model.latent_scale).square().flatten(1).mean(dim=1)
            log_variance = 2 * (moved.deviation.log() - original.deviation.log())
            losses: torch.Tensor = -(mean + log_variance.square().flatten(1).mean(dim=1))
            return losses

        return closeness
