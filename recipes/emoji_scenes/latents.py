"""The latents that the denoisers are trained on: encoded once, in shards, so that an interrupted run goes on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import avg_pool2d

from photoguard_eval.files import write_atomically
from recipes.emoji_scenes.autoencoder import FACTOR
from recipes.emoji_scenes.batches import Batch, draw_batch
from recipes.emoji_scenes.glyphs import Glyphs

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

SHARD_SIZE = 256
CHUNK = 64


@dataclass(frozen=True)
class Latents:
    """Encoded scenes, not yet scaled.

    Attributes:
        whole: Latent means of the images, shape (N, C, h, w), float16.
        kept: Latent means of the images with gray where they are to be edited, likewise.
        masks: Masks at the size of the latents, shape (N, 1, h, w), 1 = edit, float16.
        subjects: How much of each cell the object covers, likewise.
        captions: The scenes in words.
    """

    whole: torch.Tensor
    kept: torch.Tensor
    masks: torch.Tensor
    subjects: torch.Tensor
    captions: list[str]

    @property
    def scaling_factor(self) -> float:
        """What makes the latents' standard deviation one."""
        return 1 / float(self.whole.float().std())


def encode_scenes(
    autoencoder: AutoencoderKL, seed: int, count: int, glyphs: Glyphs, folder: Path, precision: str = "no"
) -> Latents:
    """Encode scenes of the training stream, or read what was encoded before.

    Args:
        autoencoder: A trained autoencoder.
        seed: Of the scenes.
        count: How many, at least; whole shards are made.
        glyphs: What draws the objects.
        folder: Takes the shards; it belongs to this autoencoder and seed.
        precision: See `training.Settings`.
    """
    autoencoder = autoencoder.eval().to(memory_format=torch.channels_last)
    shards = []
    for index in range(-(-count // SHARD_SIZE)):
        path = folder / f"{index:03}.pt"
        if not path.exists():
            buffer = io.BytesIO()
            torch.save(_encode_shard(autoencoder, seed, index, glyphs, precision), buffer)
            write_atomically(path, buffer.getvalue())
        shards.append(torch.load(path, weights_only=True))
    tensors = {name: torch.cat([shard[name] for shard in shards]) for name in ("whole", "kept", "masks", "subjects")}
    return Latents(**tensors, captions=[caption for shard in shards for caption in shard["captions"]])


def _encode_shard(
    autoencoder: AutoencoderKL, seed: int, index: int, glyphs: Glyphs, precision: str
) -> dict[str, torch.Tensor | list[str]]:
    batches = [draw_batch([seed, index, chunk], CHUNK, glyphs) for chunk in range(SHARD_SIZE // CHUNK)]
    encoded = [_encode(autoencoder, batch, precision) for batch in batches]
    return {
        "whole": torch.cat([whole for whole, _ in encoded]),
        "kept": torch.cat([kept for _, kept in encoded]),
        # The same pixels that diffusers' pipeline picks when it brings a mask to the size of the latents.
        "masks": torch.cat([batch.masks[..., ::FACTOR, ::FACTOR] for batch in batches]).half(),
        "subjects": torch.cat([avg_pool2d(batch.subjects, FACTOR) for batch in batches]).half(),
        "captions": [caption for batch in batches for caption in batch.captions],
    }


def _encode(autoencoder: AutoencoderKL, batch: Batch, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.cat([batch.images, batch.masked_images]).contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        latents = autoencoder.encode(images).latent_dist.mode()
    whole, kept = latents.half().contiguous().chunk(2)
    return whole.clone(), kept.clone()
