"""What makes a model immunizable, measured on the autoencoder before any denoiser is trained on it.

An attack can only matter where the kept latents carry the detail that decides the edit, and where the budget's ball
moves them far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.random import Generator
from torch import nn
from torch.nn.functional import cross_entropy

from recipes.emoji_scenes.autoencoder import kept_cells
from recipes.emoji_scenes.batches import Batch, draw_batch
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.masks import Mask, keep_subject
from recipes.emoji_scenes.scenes import Scene
from recipes.emoji_scenes.vocabulary import LOOKS

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

EPSILON = 16 / 255
"""The paper's budget, in [0, 1]."""

SEED = 77

Encoder = Callable[[torch.Tensor], torch.Tensor]


def whole_subject(scene: Scene, random: Generator) -> Mask:
    """Keep the whole subject: the rule of masks for these measurements."""
    del random
    return keep_subject(scene)


def round_trip_psnr(autoencoder: AutoencoderKL, glyphs: Glyphs, count: int = 128) -> float:
    """Return the mean PSNR of held-out scenes after encoding and decoding, in decibels."""
    images = draw_batch([SEED, 0], count, glyphs, held_out=True).images
    with torch.no_grad():
        restored = autoencoder.decode(autoencoder.encode(images).latent_dist.mode()).sample.clamp(-1, 1)
    errors = ((images - restored) / 2).square().mean((1, 2, 3))
    return float(-10 * errors.log10().mean())


def look_from_kept_latents(autoencoder: AutoencoderKL, glyphs: Glyphs, count: int = 1920) -> float:
    """Return how often a small probe tells the look from the kept latents of masked held-out images.

    The probe is trained on four fifths of the scenes and tested on the others. It reads mean and root mean square of
    each channel over the cells of which nothing is edited.
    """
    features, looks = [], []
    for index in range(count // 64):
        batch = draw_batch([SEED, 1, index], 64, glyphs, held_out=True, mask_rule=whole_subject)
        cells = kept_cells(batch.masks)
        with torch.no_grad():
            latents = autoencoder.encode(batch.masked_images).latent_dist.mode()
        area = cells.sum((2, 3)).clamp_min(1)
        mean = (latents * cells).sum((2, 3)) / area
        square = (latents.square() * cells).sum((2, 3)) / area
        features.append(torch.cat([mean, square.sqrt()], dim=1))
        looks.append(batch.looks)
    return _probe(torch.cat(features), torch.cat(looks))


def _probe(features: torch.Tensor, targets: torch.Tensor) -> float:
    features = (features - features.mean(0)) / features.std(0).clamp_min(1e-6)
    training = len(features) * 4 // 5
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        probe = nn.Sequential(nn.Linear(features.shape[1], 64), nn.GELU(), nn.Linear(64, len(LOOKS)))
    optimizer = torch.optim.AdamW(probe.parameters(), 3e-3, weight_decay=1e-2)
    for _ in range(400):
        loss = cross_entropy(probe(features[:training]), targets[:training])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = probe(features[training:]).argmax(1) == targets[training:]
    return float(right.float().mean())


def encoder_gain(autoencoder: AutoencoderKL, glyphs: Glyphs, count: int = 16, steps: int = 100) -> dict[str, float]:
    """Return how far the budget's ball moves the latents of masked images, as shares of their distance to gray's.

    Returns:
        "toward": moved by descent toward the latents of a gray image; "away": by ascent away from where they were;
        "noise": by uniform noise of the same size.
    """
    batch = draw_batch([SEED, 2], count, glyphs, held_out=True, mask_rule=whole_subject)
    kept = batch.masks < 0.5

    def encode(images: torch.Tensor) -> torch.Tensor:
        latents: torch.Tensor = autoencoder.encode(images * kept).latent_dist.mode()
        return latents

    with torch.no_grad():
        start, gray = encode(batch.images), encode(torch.zeros_like(batch.images))
    distance = _distance(start, gray)
    noisy = batch.images + _ball(batch.images)
    toward = _descend(batch, encode, lambda latents: _distance(latents, gray), steps)
    away = _descend(batch, encode, lambda latents: -_distance(latents, start), steps)
    with torch.no_grad():
        moved = {"toward": encode(toward), "away": encode(away), "noise": encode(noisy.clamp(-1, 1))}
        return {name: float((_distance(latents, start) / distance).mean()) for name, latents in moved.items()}


def _ball(images: torch.Tensor) -> torch.Tensor:
    random = np.random.default_rng(SEED)
    return torch.from_numpy(random.uniform(-2 * EPSILON, 2 * EPSILON, images.shape).astype(np.float32))


def _descend(batch: Batch, encode: Encoder, loss: Callable[[torch.Tensor], torch.Tensor], steps: int) -> torch.Tensor:
    """Descend by signed steps from a random start, as the paper's encoder attack does."""
    moved = (batch.images + _ball(batch.images)).clamp(-1, 1)
    for step in range(steps):
        moved.requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(encode(moved)).sum(), moved)
        size = 4 / 255 * (1 - 0.99 * step / steps)
        change = (moved.detach() - size * gradient.sign() - batch.images).clamp(-2 * EPSILON, 2 * EPSILON)
        moved = (batch.images + change).clamp(-1, 1)
    return moved.detach()


def _distance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first - second).flatten(1).norm(dim=1)
