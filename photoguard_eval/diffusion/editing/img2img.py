"""Variations: the whole image is drawn anew, starting from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.diffusion.editing.base import Editor, register_editor
from photoguard_eval.diffusion.editing.inputs import EditInputs, latent_mask
from photoguard_eval.diffusion.editing.settings import SAMPLING, EditSettings
from photoguard_eval.diffusion.model import LatentDiffusion
from photoguard_eval.diffusion.sampling import Start
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch


@register_editor
class Img2ImgEditor(Editor):
    """Vary the whole image: noise its latents part of the way and denoise them under the prompt (SDEdit).

    On an inpainting checkpoint the mask is all ones, so that the masked image is all gray and the image acts through
    the latents that the sampler starts from.
    """

    name = "img2img"
    title = "Image to image"
    explanation = "The whole image is redrawn after the prompt, starting from the image; no mask is used."
    position = 2
    reads_mask = False
    reads_settings = SAMPLING | {"sample_latents", "strength"}

    def prepare(
        self, model: LatentDiffusion, images: torch.Tensor, masks: torch.Tensor, settings: EditSettings
    ) -> EditInputs:
        """See `Editor.prepare`."""
        import torch

        del masks, settings
        masked = model.posterior_of_gray(*images.shape[-2:]).repeat(len(images)) if model.is_inpainting else None
        mask = latent_mask(model, torch.ones_like(images[:, :1]))
        return EditInputs(model.posterior(images), masked, mask)

    def schedule_length(self, executed: int, settings: EditSettings) -> int:
        """See `Editor.schedule_length`."""
        length = executed
        while self.executed_steps(settings.changed(num_inference_steps=length)) < executed:
            length += 1
        return length

    def executed_steps(self, settings: EditSettings) -> int:
        """See `Editor.executed_steps`: at least one, so that every strength edits something."""
        return max(1, int(settings.num_inference_steps * settings.strength))

    def start(
        self, model: LatentDiffusion, inputs: EditInputs, generators: CaseGenerators, settings: EditSettings
    ) -> Start:
        """See `Editor.start`."""
        assert inputs.image is not None
        steps = settings.num_inference_steps
        timesteps = model.scheduler(steps).timesteps[steps - self.executed_steps(settings) :]
        sampled_from = generators if settings.sample_latents else None
        clean = inputs.image.draw(sampled_from)
        noise = inputs.noise(generators)
        conditioning = inputs.conditioning(sampled_from)
        noised = model.scheduler(steps).add_noise(clean, noise, timesteps[:1])
        return Start(noised, timesteps, conditioning)
