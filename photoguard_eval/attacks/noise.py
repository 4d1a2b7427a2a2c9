"""The floor: uniform random noise of the same size as the attacks' perturbations (paper, Section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import DEFAULT_EPSILON, Attack, AttackBatch, register_attack
from photoguard_eval.attacks.descent import uniform_start

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators


@register_attack
class NoiseAttack(Attack):
    """Add noise drawn uniformly from [−ε, ε] to every channel value that the editor reads."""

    name = "noise"
    title = "Immunization baseline (Random noise)"
    paper = "Salman et al. 2023, Raising the Cost of Malicious AI-Powered Image Editing, Section 4.2"
    sees_model = False

    def __init__(self, *, epsilon: float = DEFAULT_EPSILON) -> None:
        """Set the budget.

        Args:
            epsilon: Largest change of a channel value, in [0, 1].
        """
        super().__init__(epsilon=epsilon)

    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """See `Attack.perturb`."""
        del model
        noise = uniform_start(batch.images, self.threat_model, generator)
        return (batch.images + noise * batch.kept).clamp(0, 1)
