"""How a prediction is led towards the prompt: one class for each way that a UNet was trained for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from photoguard_eval.diffusion.devices import at_least_float32
from photoguard_eval.diffusion.kinds import Kind
from photoguard_eval.diffusion.text import PromptEmbeddings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Scales:
    """How strongly a prediction is guided; 1 is no guidance.

    Attributes:
        text: Weight of the prompt.
        image: Weight of the image, for an instruction-following checkpoint.
    """

    text: float = 1.0
    image: float = 1.0


UNGUIDED = Scales()
"""Scales that lead nowhere."""


@dataclass(frozen=True)
class Denoised:
    """What a UNet denoises, without the prompts.

    Attributes:
        latents: Shape (N, C, h, w).
        conditioning: What it is given beside them, of the same N, h and w; None for a text-to-image checkpoint.
        dtype: The type that the UNet computes in.
    """

    latents: torch.Tensor
    conditioning: torch.Tensor | None
    dtype: torch.dtype

    def joined(self) -> torch.Tensor:
        """Return all channels that the UNet takes."""
        import torch

        whole = self.latents if self.conditioning is None else torch.cat([self.latents, self.conditioning], dim=1)
        return whole.to(self.dtype)

    def without_conditioning(self) -> torch.Tensor:
        """Return as many channels with zeros beside the latents."""
        import torch

        blank = torch.zeros_like(self.joined()[:, self.latents.shape[1] :])
        return torch.cat([self.latents.to(self.dtype), blank], dim=1)


@dataclass(frozen=True)
class UnetAt:
    """A UNet at a timestep.

    Attributes:
        network: A `UNet2DConditionModel`.
        timestep: Scalar, or shape (N,).
        pixels: Along a side of the image, for each latent.
    """

    network: Any
    timestep: torch.Tensor
    pixels: int

    def __call__(
        self, inputs: torch.Tensor, prompts: PromptEmbeddings, told: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Run the UNet, and tell one with two text encoders the size of the image too (Podell et al. 2023, 2.2).

        Args:
            inputs: Shape (N, channels, h, w).
            prompts: N of them.
            told: What it is told of guidance, (1, width); None for one that is told nothing.

        Returns:
            The prediction, (N, C, h, w), float32.
        """
        options: dict[str, Any] = {}
        if told is not None:
            options["timestep_cond"] = told.to(inputs).expand(len(inputs), -1)
        if prompts.pooled is not None:
            height, width = (side * self.pixels for side in inputs.shape[-2:])
            # Size of the original, corner of the crop, size of the result.
            sizes = prompts.pooled.new_tensor([height, width, 0, 0, height, width]).expand(len(inputs), -1)
            options["added_cond_kwargs"] = {"text_embeds": prompts.pooled, "time_ids": sizes}
        prediction: torch.Tensor = self.network(inputs, self.timestep, prompts.tokens, return_dict=False, **options)[0]
        return at_least_float32(prediction)


class Guidance(ABC):
    """A way to lead a prediction towards the prompt."""

    @abstractmethod
    def leads_away(self, scales: Scales) -> bool:
        """Tell whether a prediction depends on the unconditional prompts that it is led away from.

        Args:
            scales: How strongly it is guided.
        """

    @abstractmethod
    def predict(
        self,
        unet: UnetAt,
        denoised: Denoised,
        prompts: PromptEmbeddings,
        unconditional: PromptEmbeddings | None,
        scales: Scales,
    ) -> torch.Tensor:
        """Run the UNet; all branches of guidance in one call.

        Args:
            unet: The UNet at the timestep.
            denoised: N latents, and what the UNet is given beside them.
            prompts: N of them.
            unconditional: As many that guidance leads away from; None for no guidance.
            scales: How strongly it is guided.

        Returns:
            Shape (N, C, h, w), float32.
        """


class ClassifierFreeGuidance(Guidance):
    """Away from the prediction without a prompt (Ho and Salimans 2022, Eq. 6)."""

    def leads_away(self, scales: Scales) -> bool:
        """See `Guidance.leads_away`."""
        return scales.text != 1

    def predict(
        self,
        unet: UnetAt,
        denoised: Denoised,
        prompts: PromptEmbeddings,
        unconditional: PromptEmbeddings | None,
        scales: Scales,
    ) -> torch.Tensor:
        """See `Guidance.predict`."""
        import torch

        inputs = denoised.joined()
        if unconditional is None or not self.leads_away(scales):
            return unet(inputs, prompts)
        without, with_text = unet(torch.cat([inputs, inputs]), PromptEmbeddings.join([unconditional, prompts])).chunk(2)
        guided: torch.Tensor = without + scales.text * (with_text - without)
        return guided


class InstructionGuidance(Guidance):
    """Away from the image without the text, and from neither (Brooks et al. 2023, Eq. 3)."""

    def leads_away(self, scales: Scales) -> bool:
        """See `Guidance.leads_away`."""
        return scales.text != 1 or scales.image != 1

    def predict(
        self,
        unet: UnetAt,
        denoised: Denoised,
        prompts: PromptEmbeddings,
        unconditional: PromptEmbeddings | None,
        scales: Scales,
    ) -> torch.Tensor:
        """See `Guidance.predict`."""
        import torch

        inputs = denoised.joined()
        if unconditional is None or not self.leads_away(scales):
            return unet(inputs, prompts)
        with_text, with_image, without = unet(
            torch.cat([inputs, inputs, denoised.without_conditioning()]),
            PromptEmbeddings.join([prompts, unconditional, unconditional]),
        ).chunk(3)
        toward_image: torch.Tensor = without + scales.image * (with_image - without)
        toward_text: torch.Tensor = scales.text * (with_text - with_image)
        return toward_image + toward_text


@dataclass(frozen=True)
class EmbeddedGuidance(Guidance):
    """None at all: a consistency model is told the scale, and has a single branch (Luo et al. 2023, Section 4.2).

    Attributes:
        width: Of the embedding of the scale.
    """

    width: int

    def leads_away(self, scales: Scales) -> bool:
        """See `Guidance.leads_away`."""
        del scales
        return False

    def predict(
        self,
        unet: UnetAt,
        denoised: Denoised,
        prompts: PromptEmbeddings,
        unconditional: PromptEmbeddings | None,
        scales: Scales,
    ) -> torch.Tensor:
        """See `Guidance.predict`."""
        del unconditional
        return unet(denoised.joined(), prompts, self._embed(scales.text))

    def _embed(self, scale: float) -> torch.Tensor:
        """Embed a scale as a consistency model is told it, shape (1, width); 1, no guidance, counts as 0."""
        import torch
        from diffusers.models.embeddings import get_timestep_embedding

        return get_timestep_embedding(torch.tensor([(scale - 1) * 1000.0]), self.width, downscale_freq_shift=1)


def guidance_of(kind: Kind, told_width: int | None) -> Guidance:
    """Return the guidance that a checkpoint was trained for.

    Args:
        kind: What it was trained for.
        told_width: Width of what the UNet is told of guidance; None for one that is told nothing.
    """
    if told_width is not None:
        return EmbeddedGuidance(told_width)
    return InstructionGuidance() if kind == "instruction" else ClassifierFreeGuidance()
