"""The autoencoders: local, trained on masked images as on whole ones, with latents that tell the look in every cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import avg_pool2d, cross_entropy

from recipes.emoji_scenes.batches import Batch, draw_batch
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.grids import save_grid
from recipes.emoji_scenes.scenes import SIDE
from recipes.emoji_scenes.training import Settings, step_generator
from recipes.emoji_scenes.vocabulary import LOOKS

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

LATENT_CHANNELS = 12
FACTOR = 4

DIVERGENCE_WEIGHT = 1e-4
"""Weight of the Kullback-Leibler divergence a pixel value."""

LOOK_WEIGHT = 0.03
"""Weight of the cross-entropy of the looks that are read from the kept latents."""

KEPT_AREA_GAIN = 8.0
"""How much more a pixel of a small kept part may count than one of a whole image."""


def make_autoencoder(widths: tuple[int, int, int], seed: int) -> AutoencoderKL:
    """Make an untrained autoencoder: 64×64 → latent channels × 16×16.

    It has no attention, which would let faint detail be stored anywhere in the latents rather than where it is seen.
    """
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=widths,
            layers_per_block=1,
            latent_channels=LATENT_CHANNELS,
            norm_num_groups=8,
            sample_size=SIDE,
            mid_block_add_attention=False,
        )


def look_directions(seed: int) -> torch.Tensor:
    """Return one direction of the latent space per look, orthonormal, shape (looks, latent channels)."""
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(LATENT_CHANNELS, LATENT_CHANNELS, generator=generator)
    return torch.linalg.qr(square).Q[: len(LOOKS)].contiguous()


def kept_cells(masks: torch.Tensor) -> torch.Tensor:
    """Return 1 for each latent cell of which nothing is edited, shape (N, 1, S / 4, S / 4)."""
    return (avg_pool2d(1 - masks, FACTOR) > 0.999).float()


class AutoencoderTask:
    """Reconstruction of whole and of masked images, at equal weight; a look to be read from each kept cell."""

    def __init__(self, widths: tuple[int, int, int], settings: Settings, glyphs: Glyphs) -> None:
        """Make the autoencoder.

        Args:
            widths: Channels at full, half and quarter size.
            settings: Of the training.
            glyphs: What draws the objects.
        """
        self.autoencoder = make_autoencoder(widths, settings.seed).to(memory_format=torch.channels_last)
        self.modules = nn.ModuleDict({"vae": self.autoencoder})
        self.directions = look_directions(settings.seed)
        self.settings = settings
        self.glyphs = glyphs

    def losses(self, step: int) -> Mapping[str, torch.Tensor]:
        """See `training.Task`."""
        batch = draw_batch([self.settings.seed, step], self.settings.batch_size, self.glyphs)
        images, kept, weights = _targets(batch)
        posterior = self.autoencoder.encode(images.contiguous(memory_format=torch.channels_last)).latent_dist
        latents = posterior.sample(step_generator(self.settings.seed, step))
        restored = self.autoencoder.decode(latents).sample.float()
        absolute, gradient = _reconstruction(restored - images, weights)
        divergence = posterior.kl().float().mean() / images[0].numel()
        look, accuracy = self._read_looks(posterior.mean.float(), kept, batch.looks)
        loss = absolute + 0.5 * gradient + DIVERGENCE_WEIGHT * divergence + LOOK_WEIGHT * look
        return {
            "loss": loss,
            "absolute": absolute,
            "gradient": gradient,
            "divergence": divergence,
            "look": look,
            "look_accuracy": accuracy,
            "psnr": _psnr(restored, images),
            "deviation": posterior.mean.detach().float().std(),
        }

    def _read_looks(
        self, latents: torch.Tensor, kept: torch.Tensor, looks: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = torch.einsum("nchw,lc->nlhw", latents, self.directions)
        targets = looks[:, None, None].expand(-1, *logits.shape[-2:])
        weights = kept[:, 0] / kept.sum((1, 2, 3)).clamp_min(1)[:, None, None]
        count = (kept.sum((1, 2, 3)) > 0).sum().clamp_min(1)
        loss = (cross_entropy(logits, targets, reduction="none") * weights).sum() / count
        accuracy = ((logits.argmax(1) == targets) * weights).sum() / count
        return loss, accuracy

    def draw_grid(self, path: Path) -> None:
        """See `training.Task`: images and their round trips, whole and masked."""
        draw_round_trips(self.autoencoder, self.settings.seed, self.glyphs, path)


class DecoderTask:
    """A decoder trained on, while the encoder, and so all that is known of the latents, stays as it is."""

    def __init__(self, autoencoder: AutoencoderKL, settings: Settings, glyphs: Glyphs, *, polish: bool = False) -> None:
        """Take an autoencoder.

        Args:
            autoencoder: A trained one; its decoder is changed.
            settings: Of the training.
            glyphs: What draws the objects.
            polish: Whether for the PSNR of whole images alone.
        """
        self.autoencoder = autoencoder.to(memory_format=torch.channels_last)
        self.modules = nn.ModuleDict({"decoder": autoencoder.decoder, "post_quant_conv": autoencoder.post_quant_conv})
        self.settings = settings
        self.glyphs = glyphs
        self.polish = polish

    def losses(self, step: int) -> Mapping[str, torch.Tensor]:
        """See `training.Task`."""
        batch = draw_batch([self.settings.seed, step], self.settings.batch_size, self.glyphs)
        if self.polish:
            images, weights = batch.images, torch.ones(1, 1, 1, 1).expand_as(batch.masks)
        else:
            images, _, weights = _targets(batch)
        with torch.no_grad():
            posterior = self.autoencoder.encode(images.contiguous(memory_format=torch.channels_last)).latent_dist
            latents = posterior.sample(step_generator(self.settings.seed, step))
        restored = self.autoencoder.decode(latents).sample.float()
        absolute, gradient = _reconstruction(restored - images, weights)
        squared = (restored - images).square()
        if self.polish:
            loss = squared.mean((1, 2, 3)).log().mean()
        else:
            loss = absolute + 0.25 * gradient + (squared * weights).mean()
        return {"loss": loss, "absolute": absolute, "gradient": gradient, "psnr": _psnr(restored, images)}

    def draw_grid(self, path: Path) -> None:
        """See `training.Task`."""
        draw_round_trips(self.autoencoder, self.settings.seed, self.glyphs, path)


def draw_round_trips(autoencoder: AutoencoderKL, seed: int, glyphs: Glyphs, path: Path) -> None:
    """Write a picture of held-out images and their round trips, whole and masked."""
    batch = draw_batch([seed, 0, 1], 10, glyphs, held_out=True)
    images = torch.cat([batch.images, batch.masked_images])
    with torch.no_grad():
        restored = autoencoder.decode(autoencoder.encode(images).latent_dist.mode()).sample
    rows = [images[:10], restored[:10], images[10:], restored[10:]]
    save_grid(path, [(row + 1) / 2 for row in rows])


def _reconstruction(difference: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted mean of absolute differences, and that of their differences between neighbouring pixels."""
    absolute = (difference.abs() * weights).mean()
    across = (difference.diff(dim=-1).abs() * weights[..., :, 1:]).mean()
    down = (difference.diff(dim=-2).abs() * weights[..., 1:, :]).mean()
    return absolute, across + down


def _psnr(restored: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Return the PSNR of the batch's whole images, every other one."""
    return 10 * torch.log10(4 / (restored - images).detach()[::2].square().mean())


def _targets(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mask every other image; return images, their kept cells, and the weights of their pixels."""
    masked = torch.zeros(len(batch.images), 1, 1, 1)
    masked[1::2] = 1
    masks = batch.masks * masked
    keep = 1 - masks
    area = keep.mean((1, 2, 3), keepdim=True)
    gain = (1 / area.clamp_min(1e-3)).clamp_max(KEPT_AREA_GAIN)
    weights = torch.where(masked > 0, 0.1 + keep * gain, torch.ones_like(keep))
    return batch.images * keep, kept_cells(masks), weights
