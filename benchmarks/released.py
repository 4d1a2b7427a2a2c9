"""The cost structure of the paper's released code, as the reference that the package's speed is measured against.

The computation is the package's own, so that both give the same gradient; what is done when is the released code's:
one image at a time, the parameters requiring gradients, the masked image encoded and the prompt embedded at every
repetition, and both branches of guidance computed though they are equal for the empty prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from photoguard_eval.attacks import AttackBatch, DiffusionAttack, EncoderAttack
from photoguard_eval.diffusion import LatentDiffusion
from photoguard_eval.randomness import CaseGenerators

GUIDANCE = 7.5


@contextmanager
def parameters_requiring_gradients(model: LatentDiffusion) -> Iterator[None]:
    """Let the weights of autoencoder and UNet require gradients, as those of a pipeline do that nobody froze."""
    for part in (model.vae, model.unet):
        part.requires_grad_(True)
    try:
        yield
    finally:
        for part in (model.vae, model.unet):
            part.requires_grad_(False)


def released_layout(model: LatentDiffusion) -> LatentDiffusion:
    """Return a copy of a model whose weights are laid out as diffusers loads them, channels first."""
    copied = copy.deepcopy(model)
    for part in (copied.vae, copied.unet):
        part.to(memory_format=torch.contiguous_format)
    return copied


def images_of(batch: AttackBatch) -> list[AttackBatch]:
    """Split a batch into batches of one image."""
    return [
        replace(
            batch,
            images=batch.images[row : row + 1],
            masks=batch.masks[row : row + 1],
            prompts=batch.prompts and batch.prompts[row : row + 1],
            ids=batch.ids[row : row + 1],
        )
        for row in range(len(batch))
    ]


class ReleasedDiffusionGradient:
    """The gradient of the diffusion attack's loss, by the released code's steps."""

    def __init__(self, attack: DiffusionAttack, model: LatentDiffusion) -> None:
        """Name attack and model."""
        self.attack = attack
        self.model = model

    def loss(self, batch: AttackBatch, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of one repetition, (1,), with everything computed anew.

        Args:
            batch: Where and how the image is edited.
            image: The image, (1, 3, H, W).
            generator: Of the repetition's noise.
        """
        settings = batch.settings.changed(
            num_inference_steps=batch.editor.schedule_length(self.attack.denoising_steps, batch.settings),
            eta=self.attack.eta,
            guidance_scale=GUIDANCE,
        )
        prompt, unconditional = self.model.embed_prompts([""]), self.model.unconditional(1)
        inputs = batch.editor.prepare(self.model, image, batch.masks, settings)
        noise = CaseGenerators((generator,))
        edit = batch.editor.denoise(self.model, inputs, prompt, unconditional, noise, settings)
        return torch.linalg.vector_norm((edit * 2 - 1).flatten(1), dim=1)

    def __call__(self, batch: AttackBatch, generators: CaseGenerators) -> tuple[torch.Tensor, torch.Tensor]:
        """Return loss, (1,), and gradient, (1, 3, H, W), of a batch of one image.

        Args:
            batch: The image.
            generators: One for each repetition.
        """
        losses, gradients = [], []
        for generator in generators.generators:
            image = batch.images.clone().requires_grad_(True)
            loss = self.loss(batch, image, generator)
            losses.append(loss.detach())
            gradients.append(torch.autograd.grad(loss.sum(), image)[0])
        return torch.stack(losses).mean(dim=0), torch.stack(gradients).mean(dim=0)


class ReleasedEncoderGradient:
    """The gradient of the encoder attack's loss, one image at a time. The target is encoded once, as released."""

    def __init__(self, attack: EncoderAttack, model: LatentDiffusion) -> None:
        """Encode the target."""
        assert attack.target == "zero", "the released code drives latents to zero unless it is given a target image"
        self.model = model

    def __call__(self, batch: AttackBatch, generators: CaseGenerators) -> tuple[torch.Tensor, torch.Tensor]:
        """See `ReleasedDiffusionGradient`; draws no random numbers."""
        del generators
        image = batch.images.clone().requires_grad_(True)
        loss = self.model.encode(batch.visible(image, self.model)).flatten(1).norm(dim=1)
        (gradient,) = torch.autograd.grad(loss.sum(), image)
        return loss.detach(), gradient
