"""DiffusionGuard: an attack on what the UNet predicts at the first step of an edit, for masks not yet known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from photoguard_eval.attacks.base import ImageSize, register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.fields import NonNegativeFloat, PositiveInt, parameters
from photoguard_eval.attacks.gradient import GradientAttack, first_prediction, require_schedule
from photoguard_eval.errors import ConfigurationError

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import Editor, LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators

REFERENCE_SIDE = 512
"""Side of the images, in pixels, for which the published strength of the shrinking is meant."""

DEPTHS_ALONG_A_SIDE = 8
"""How many depths are drawn along a side of the image; between them the depth varies smoothly."""


@register_attack
@parameters
class DiffusionGuardAttack(GradientAttack):
    """Maximise the norm of the noise predicted at the first step of an edit: ‖ε_θ(noise, t₀, m̃, E(x ⊙ (1 − m̃)))‖₂.

    The first step decides what an edit is laid out like. m̃ is the mask of the edit with the kept region shrunk along
    its contour, anew at every step, so that the perturbation holds when another mask is drawn than was foreseen. It is
    the kept region that shrinks, in the released code too: more would be looked at than is perturbed otherwise.

    Attributes:
        denoising_steps: Length of the schedule whose first step is attacked.
        shrinking_strength: Pixels of an image of 512 × 512 that the contour of the kept region moves inwards in an
            iteration at most; 0 leaves the masks as they are.
        shrinking_iterations: Iterations.
    """

    name = "diffusionguard"
    title = "DiffusionGuard"
    paper = "Choi et al. 2025, DiffusionGuard: A Robust Defense Against Malicious Diffusion-based Image Editing"
    gradient_through = "encoder, UNet"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {"budget": "8/255", "step_size": 0.5 / 255, "steps": 800}
    }

    denoising_steps: PositiveInt = 4
    shrinking_strength: NonNegativeFloat = 1.1
    shrinking_iterations: PositiveInt = 15

    def require_support(self, model: LatentDiffusion, editor: Editor, sizes: Collection[ImageSize]) -> None:
        """See `Attack.require_support`."""
        del sizes
        require_schedule(model, denoising_steps=self.denoising_steps)
        require_image_at_the_first_step(self.name, model, editor)

    def objective(
        self, model: LatentDiffusion, batch: AttackBatch, generator: CaseGenerators
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.objective`."""
        import torch

        deepest = self.shrinking_strength * self.shrinking_iterations * batch.images.shape[-1] / REFERENCE_SIDE
        depths = _depths_inside(batch.kept)
        prompt = model.embed_prompts([""] * len(batch))

        def negative_norm(images: torch.Tensor) -> torch.Tensor:
            masks = batch.masks
            if batch.editor.reads_mask and deepest > 0:
                masks = 1 - shrink(batch.kept, depths, deepest, generator)
            predicted = first_prediction(model, batch, images, masks, prompt, generator, self.denoising_steps)
            losses: torch.Tensor = -torch.linalg.vector_norm(predicted.flatten(1), dim=1)
            return losses

        return negative_norm


def require_image_at_the_first_step(name: str, model: LatentDiffusion, editor: Editor) -> None:
    """Check that the first step of an edit sees the image at all.

    Raises:
        ConfigurationError: If it starts from noise alone.
    """
    if editor.reads_mask and not model.is_inpainting:
        raise ConfigurationError(
            f"The attack {name!r} works on the first prediction of an edit, but a text-to-image checkpoint inpaints "
            "from noise alone, so that its first step does not see the image. Use an inpainting checkpoint, or another "
            "attack."
        )


def shrink(kept: torch.Tensor, depths: torch.Tensor, deepest: float, generator: CaseGenerators) -> torch.Tensor:
    """Move the contour of the kept regions inwards by depths that vary smoothly and at random along it.

    Args:
        kept: Shape (N, 1, H, W), 1 = kept.
        depths: Distance of each kept pixel from the nearest that is not, in pixels, same shape.
        deepest: The largest depth, in pixels.
        generator: One random generator per image.

    Returns:
        Shape (N, 1, H, W): a part of `kept`.
    """
    from torch.nn.functional import interpolate

    coarse = generator.uniform((1, DEPTHS_ALONG_A_SIDE, DEPTHS_ALONG_A_SIDE), 0, deepest, kept)
    moved = interpolate(coarse, size=kept.shape[-2:], mode="bilinear", align_corners=False)
    return kept * (depths > moved)


def _depths_inside(kept: torch.Tensor) -> torch.Tensor:
    """Return the distance of each kept pixel from the nearest that is not; the edge of the image is no contour."""
    import numpy as np
    import torch
    from scipy.ndimage import distance_transform_edt

    regions = (kept > 0.5).cpu().numpy()
    depths = [
        np.full(region.shape, np.inf) if region.all() else distance_transform_edt(region[0])[None] for region in regions
    ]
    return torch.from_numpy(np.stack(depths)).to(kept)
