"""The way from the noise that a sampler begins with to an edited image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from photoguard_eval.diffusion.guidance import Scales
from photoguard_eval.diffusion.model import LatentDiffusion
from photoguard_eval.diffusion.text import PromptEmbeddings
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Frozen:
    """The part of the latents that a text-to-image checkpoint must not change.

    Attributes:
        latents: Latents of the image, (N, C, h, w).
        noise: The noise that the sampler started from; it noises the frozen part to each step's level.
        mask: Shape (N, 1, h, w), 1 = free.
    """

    latents: torch.Tensor
    noise: torch.Tensor
    mask: torch.Tensor

    def restore(self, sampled: torch.Tensor, scheduler: Any, timestep: torch.Tensor | None) -> torch.Tensor:
        """Put the frozen part back, noised to a timestep's level, or clean after the last step.

        Args:
            sampled: What the sampler made of the latents, (N, C, h, w).
            scheduler: What noises to a level.
            timestep: Of the following step, a scalar; None after the last one.
        """
        known = self.latents if timestep is None else scheduler.add_noise(self.latents, self.noise, timestep[None])
        return (1 - self.mask) * known + self.mask * sampled


@dataclass(frozen=True)
class Start:
    """Where the sampler of an edit begins, after all random numbers but those of its steps are drawn.

    Attributes:
        latents: What the first step denoises, (N, C, h, w).
        timesteps: The timesteps to run.
        conditioning: What the UNet is given beside the latents, see `EditInputs.conditioning`.
        frozen: The part of the latents that a text-to-image checkpoint must not change, or None.
    """

    latents: torch.Tensor
    timesteps: torch.Tensor
    conditioning: torch.Tensor | None = None
    frozen: Frozen | None = None


def sample(
    model: LatentDiffusion,
    start: Start,
    prompts: PromptEmbeddings,
    unconditional: PromptEmbeddings | None,
    generators: CaseGenerators,
    *,
    steps: int,
    eta: float,
    scales: Scales,
) -> torch.Tensor:
    """Run the sampler over the timesteps and decode; differentiable where gradients are enabled.

    Args:
        model: The model.
        start: Where the sampler begins, N latents.
        prompts: N of them.
        unconditional: As many that guidance leads away from; None for no guidance.
        generators: N of them, for the noise of the steps.
        steps: Of the whole schedule, of which `start.timesteps` may be a part.
        eta: Noise of the sampler; see `EditSettings`.
        scales: How strongly it is guided.

    Returns:
        Shape (N, 3, H, W), float32, around [0, 1] but not clipped to it.
    """
    scheduler = model.scheduler(steps)
    latents, timesteps = start.latents, start.timesteps
    for index, timestep in enumerate(timesteps):
        prediction = model.predict_noise(
            latents,
            timestep,
            prompts,
            unconditional_embeddings=unconditional,
            scales=scales,
            conditioning=start.conditioning,
        )
        options = model.schedule.step_options(latents, generators, eta)
        latents = scheduler.step(prediction, timestep, latents, **options, return_dict=False)[0]
        if start.frozen is not None:
            following = timesteps[index + 1] if index + 1 < len(timesteps) else None
            latents = start.frozen.restore(latents, scheduler, following)
    return model.decode(latents)
