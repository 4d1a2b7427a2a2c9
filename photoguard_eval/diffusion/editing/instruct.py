"""Edits after an instruction, such as "make it snow"."""

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
class InstructEditor(Editor):
    """Edit the whole image after an instruction, with a checkpoint that is trained to follow them (InstructPix2Pix).

    The image acts through its latents, which are given to the UNet at every step; the sampler starts from noise.
    """

    name = "instruct"
    title = "Instruction"
    explanation = "The whole image is edited after an instruction; no mask is used."
    position = 3
    reads_mask = False
    reads_settings = SAMPLING | {"image_guidance_scale"}
    kinds = ("instruction",)

    def prepare(
        self, model: LatentDiffusion, images: torch.Tensor, masks: torch.Tensor, settings: EditSettings
    ) -> EditInputs:
        """See `Editor.prepare`."""
        import torch

        del masks, settings
        return EditInputs(None, None, latent_mask(model, torch.ones_like(images[:, :1])), model.encode(images))

    def start(
        self, model: LatentDiffusion, inputs: EditInputs, generators: CaseGenerators, settings: EditSettings
    ) -> Start:
        """See `Editor.start`."""
        timesteps = model.scheduler(settings.num_inference_steps).timesteps
        return Start(inputs.noise(generators), timesteps, inputs.conditioning())
