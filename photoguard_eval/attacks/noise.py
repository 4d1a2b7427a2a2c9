"""The floor: uniform random noise of the same size as the attacks' perturbations (paper, Section 4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import Attack, register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import parameters

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators


@register_attack
@parameters
class NoiseAttack(Attack):
    """Add noise drawn uniformly from the ball to every channel value that the editor reads."""

    name = "noise"
    title = "Immunization baseline (Random noise)"
    paper = "Salman et al. 2023, Raising the Cost of Malicious AI-Powered Image Editing, Section 4.2"
    is_floor = True
    sees_model = False

    def perturb(self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators) -> torch.Tensor:
        """See `Attack.perturb`."""
        del model
        return batch.budget.project(batch.images, batch.budget.draw(batch.images, generator) * batch.kept)
