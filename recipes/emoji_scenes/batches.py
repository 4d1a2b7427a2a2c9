"""Training batches: scenes, masks and captions as tensors, each drawn from a seed of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator

from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.masks import Mask, training_mask
from recipes.emoji_scenes.scenes import Content, Scene, draw_content, draw_scene
from recipes.emoji_scenes.vocabulary import LOOKS

MaskRule = Callable[[Scene, Generator], Mask]
"""Draws a scene's mask, 1 = edit."""


@dataclass(frozen=True)
class Batch:
    """Scenes of a training step.

    Attributes:
        images: Shape (N, 3, S, S) in [-1, 1], as the autoencoder takes them.
        masks: Shape (N, 1, S, S), 1 = edit.
        contents: What they show.
    """

    images: torch.Tensor
    masks: torch.Tensor
    contents: Sequence[Content]

    @property
    def captions(self) -> list[str]:
        """The scenes in words."""
        return [content.caption for content in self.contents]

    @property
    def looks(self) -> torch.Tensor:
        """Index of each scene's look, shape (N,)."""
        names = list(LOOKS)
        return torch.tensor([names.index(content.look) for content in self.contents])

    @property
    def masked_images(self) -> torch.Tensor:
        """The images with gray where they are to be edited."""
        return self.images * (self.masks < 0.5)


def draw_batch(
    seed: Sequence[int],
    size: int,
    glyphs: Glyphs,
    *,
    held_out: bool = False,
    mask_rule: MaskRule = training_mask,
) -> Batch:
    """Draw scenes.

    Args:
        seed: What the batch is for: a stage's seed and a step, for example.
        size: How many.
        glyphs: What draws the objects.
        held_out: Whether from the combinations that training never sees.
        mask_rule: Draws the masks.
    """
    random = np.random.default_rng(list(seed))
    scenes = [draw_scene(draw_content(random, held_out), random, glyphs) for _ in range(size)]
    masks = np.stack([mask_rule(scene, random) for scene in scenes])
    pictures = torch.from_numpy(np.stack([scene.picture for scene in scenes])).permute(0, 3, 1, 2)
    return Batch(
        images=(pictures * 2 - 1).contiguous(),
        masks=torch.from_numpy(masks)[:, None],
        contents=[scene.content for scene in scenes],
    )
