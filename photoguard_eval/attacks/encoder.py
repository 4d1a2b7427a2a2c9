"""The paper's encoder attack: drive the latents to those of a target (Eq. 4, Algorithm 1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import DEFAULT_EPSILON, Attack, AttackBatch, Norm, register_attack, require_positive
from photoguard_eval.attacks.descent import projected_gradient_descent, uniform_start
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.images import read_image

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators


@register_attack
class EncoderAttack(Attack):
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
        step_size: float = 2 / 255,
        steps: int = 200,
        target: str = "gray",
        random_start: bool = True,
        decay: bool = True,
    ) -> None:
        """Configure the attack.

        Args:
            epsilon: Budget, see `ThreatModel`.
            norm: Norm of the budget.
            step_size: Length of a step in that norm.
            steps: Number of gradient steps.
            target: What the latents are driven to: "gray", the latents of a mid-gray image; "zero", the zero
                latent; or the path of an image of the size of the images to immunize.
            random_start: Whether to start from uniform noise in the ball.
            decay: Whether the step size decays linearly to 1 %.

        Raises:
            ConfigurationError: If a value is out of range.
            InvalidImageError: If the target image cannot be read.
        """
        super().__init__(epsilon=epsilon, norm=norm)
        require_positive(step_size=step_size, steps=steps)
        if target not in ("gray", "zero") and not Path(target).is_file():
            raise ConfigurationError(
                f"target is {target!r}; expected 'gray', 'zero' or the path of an image, and there is no such file."
            )
        if target not in ("gray", "zero"):
            self.inputs = {"target": sha256_of_file(Path(target))}
        self.step_size = step_size
        self.steps = steps
        self.target = target
        self.random_start = random_start
        self.decay = decay

    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """See `Attack.perturb`."""
        import torch

        target = self._target_latents(model, batch)

        def distance_to_target(images: torch.Tensor) -> torch.Tensor:
            distances = (model.encode(batch.visible(images, model)) - target).flatten(1)
            losses: torch.Tensor = torch.linalg.vector_norm(distances, dim=1)
            return losses

        return projected_gradient_descent(
            batch.images,
            distance_to_target,
            threat_model=self.threat_model,
            region=batch.kept,
            steps=self.steps,
            step_size=self.step_size,
            start=uniform_start(batch.images, self.threat_model, generator) if self.random_start else None,
            decay=self.decay,
        )

    def _target_latents(self, model: LatentDiffusion, batch: AttackBatch) -> torch.Tensor:
        import torch

        if self.target == "gray":
            target = torch.full_like(batch.images[:1], 0.5)
        elif self.target == "zero":
            with torch.no_grad():
                return torch.zeros_like(model.encode(batch.images[:1]))
        else:
            target = read_image(self.target).to(batch.images)
            if target.shape[-2:] != batch.images.shape[-2:]:
                raise ConfigurationError(
                    f"The target image {self.target} is {target.shape[-1]} × {target.shape[-2]}, the images are "
                    f"{batch.images.shape[-1]} × {batch.images.shape[-2]} (width × height). Resize the target."
                )
        with torch.no_grad():
            return model.encode(target)
