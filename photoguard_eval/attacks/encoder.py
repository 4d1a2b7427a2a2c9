"""Attacks on the encoder alone: the paper's, which drives the latents to a target, and PID, which drives them away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from photoguard_eval.attacks.base import register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import parameters
from photoguard_eval.attacks.gradient import GradientAttack, TargetedAttack

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators


@register_attack
@parameters
class EncoderAttack(TargetedAttack):
    """Minimise the distance between the latents of the immunized image and a target's: ‖E(x + δ) − z_targ‖₂.

    Defaults are Table 9's: steps of 2/255, 200 of them. As in the released code the norm is not
    squared, E is the mean of the latent distribution before scaling, the start is uniform in the ball and the step
    size decays linearly to 1 % of its value.
    """

    name = "encoder"
    title = "Immunization (Encoder attack)"
    paper = "Salman et al. 2023, Raising the Cost of Malicious AI-Powered Image Editing, Eq. 4"

    target: str = "gray"
    random_start: bool = True
    decay: bool = True

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
@parameters
class PidAttack(GradientAttack):
    """Maximise the change of the latent distribution: mean squared error of its mean plus that of its log-variance.

    No prompt, no timestep and no target: the encoder alone is attacked. At the image itself the loss has no gradient,
    so the descent starts from noise in the ball.
    """

    name = "pid"
    title = "PID"
    paper = "Li et al. 2024, PID: Prompt-Independent Data Protection Against Latent Diffusion Models"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {"budget": "12.75/255", "step_size": 1 / 255, "steps": 1000}
    }

    random_start: bool = True

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
