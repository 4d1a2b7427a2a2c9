"""What an edit is conditioned on, encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoguard_eval.diffusion.model import LatentDiffusion
from photoguard_eval.diffusion.posterior import Posterior
from photoguard_eval.errors import ConfigurationError, InvalidImageError
from photoguard_eval.images.arrays import require_same_size
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EditInputs:
    """What an edit is conditioned on besides the prompt, differentiable with respect to the images.

    Attributes:
        image: Latent distribution of the image, where the sampler starts from it or freezes it.
        masked_image: Latent distribution of the image with the region to edit painted gray; for an inpainting
            checkpoint.
        mask: The mask at the latents' size, (N, 1, h, w).
        instructed: Mean latents of the image before scaling, (N, C, h, w); for an instruction-following checkpoint.
    """

    image: Posterior | None
    masked_image: Posterior | None
    mask: torch.Tensor
    instructed: torch.Tensor | None = None

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> EditInputs:
        """Return the inputs with every tensor changed.

        Args:
            change: What is done to each.
        """
        return EditInputs(
            self.image and self.image.changed(change),
            self.masked_image and self.masked_image.changed(change),
            change(self.mask),
            None if self.instructed is None else change(self.instructed),
        )

    def repeat(self, count: int) -> EditInputs:
        """Repeat the batch `count` times, repetition by repetition, so that one encoding serves many edits."""
        return self.changed(lambda tensor: tensor.repeat(count, 1, 1, 1))

    def noise(self, generators: CaseGenerators) -> torch.Tensor:
        """Draw noise of the shape of the latents, (N, C, h, w), for a sampler to begin with.

        Args:
            generators: One per edit.
        """
        encoded = self.image or self.masked_image
        latents = self.instructed if encoded is None else encoded.mean
        assert latents is not None
        return generators.normal(latents.shape[1:], latents)

    def conditioning(self, generators: CaseGenerators | None = None) -> torch.Tensor | None:
        """Return what the UNet is given beside the latents, or None for a text-to-image checkpoint.

        Mask and latents of the masked image for an inpainting checkpoint, (N, C + 1, h, w); latents of the image for an
        instruction-following one, (N, C, h, w).

        Args:
            generators: If given, the latents of the masked image are a sample drawn from them; else the mean.
        """
        import torch

        if self.instructed is not None:
            return self.instructed
        if self.masked_image is None:
            return None
        masked = self.masked_image.draw(generators)
        return torch.cat([self.mask.to(masked), masked], dim=1)


def latent_mask(model: LatentDiffusion, masks: torch.Tensor) -> torch.Tensor:
    """Take every f-th pixel of masks, as the pipelines do.

    Args:
        model: The model; f is its `downscale_factor`.
        masks: Shape (N, 1, H, W).

    Returns:
        Shape (N, 1, H / f, W / f).
    """
    from torch.nn.functional import interpolate

    size = [side // model.downscale_factor for side in masks.shape[-2:]]
    return interpolate(masks, size=size)


def require_batch(
    images: torch.Tensor,
    masks: torch.Tensor,
    prompts: Sequence[str],
    seeds: Sequence[int],
    originals: torch.Tensor | None,
) -> None:
    """Check that there is one image, mask, prompt and seed for each edit, and that they fit one another.

    Args:
        images: Shape (N, 3, H, W).
        masks: Shape (N, 1, H, W).
        prompts: N of them.
        seeds: N of them.
        originals: The images before immunization, of the same shape; None where there are no others.

    Raises:
        ConfigurationError: If the counts differ, or are zero.
        InvalidImageError: If a shape is another.
    """
    counts = {"images": len(images), "masks": len(masks), "prompts": len(prompts), "seeds": len(seeds)}
    if originals is not None:
        counts["originals"] = len(originals)
    if len(images) == 0 or len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} {what}" for what, count in counts.items())
        raise ConfigurationError(f"Got {listed}; expected at least one image, and one of each per image.")
    _require_channels(images, 3, "The images to edit")
    _require_channels(masks, 1, "The masks")
    require_same_size(images, masks, "The image to edit")
    if originals is not None:
        _require_channels(originals, 3, "The originals of the images to edit")
        require_same_size(images, originals, "The original of the image to edit")


def _require_channels(images: torch.Tensor, channels: int, name: str) -> None:
    if images.ndim != 4 or images.shape[1] != channels:
        raise InvalidImageError(
            f"{name} have shape {tuple(images.shape)}; expected (N, {channels}, height, width). Read files with "
            "read_image of photoguard_eval.images.arrays and read_mask of photoguard_eval.images.masks, which give it."
        )
