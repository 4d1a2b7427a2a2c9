"""Inpainting: the region that a mask marks is drawn anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.diffusion.editing.base import Editor, register_editor
from photoguard_eval.diffusion.editing.inputs import EditInputs, latent_mask
from photoguard_eval.diffusion.editing.settings import SAMPLING, EditSettings
from photoguard_eval.diffusion.model import LatentDiffusion
from photoguard_eval.diffusion.sampling import Frozen, Start
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch


@register_editor
class InpaintEditor(Editor):
    """Repaint the masked region so that it fits the prompt and what is kept.

    An inpainting checkpoint is given the mask and the latents of the masked image at every step. A text-to-image
    checkpoint has the unedited part frozen: after every step it is set to the original latents, noised to the step's
    level (paper, Section 2.1).
    """

    name = "inpaint"
    title = "Inpainting"
    explanation = "The white region of the mask is repainted after the prompt; the rest of the image is kept."
    position = 1
    reads_mask = True
    reads_settings = SAMPLING | {"sample_latents", "composite"}

    def prepare(
        self, model: LatentDiffusion, images: torch.Tensor, masks: torch.Tensor, settings: EditSettings
    ) -> EditInputs:
        """See `Editor.prepare`."""
        del settings
        mask = latent_mask(model, masks)
        if model.is_inpainting:
            return EditInputs(None, model.posterior(_painted_gray(images, masks)), mask)
        return EditInputs(model.posterior(images), None, mask)

    def start(
        self, model: LatentDiffusion, inputs: EditInputs, generators: CaseGenerators, settings: EditSettings
    ) -> Start:
        """See `Editor.start`."""
        sampled_from = generators if settings.sample_latents else None
        frozen = None if inputs.image is None else inputs.image.draw(sampled_from)
        noise = inputs.noise(generators)
        conditioning = inputs.conditioning(sampled_from)
        if frozen is not None and settings.sample_latents:
            # Here the pipeline draws latents of the masked image, which a text-to-image UNet does not take.
            generators.normal(noise.shape[1:], noise)
        return Start(
            noise,
            model.scheduler(settings.num_inference_steps).timesteps,
            conditioning,
            None if frozen is None else Frozen(frozen, noise, inputs.mask),
        )


def _painted_gray(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Paint the region to edit in the gray that is 0 in the model's [-1, 1]."""
    return images * (1 - masks) + 0.5 * masks
