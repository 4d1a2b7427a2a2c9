"""Training batches: scenes, masks and captions as tensors, each drawn from a seed of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.random import Generator

from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.masks import Mask, training_mask
from recipes.emoji_scenes.scenes import Content, Scene, draw_content, draw_scene
from recipes.emoji_scenes.vocabulary import LOOKS, OBJECTS, is_held_out

MaskRule = Callable[[Scene, Generator], Mask]
"""Draws a scene's mask, 1 = edit."""

CONTRASTED = 16
"""Objects in a group of scenes that differ in nothing else that a caption says."""


@dataclass(frozen=True)
class Batch:
    """Scenes of a training step.

    Attributes:
        images: Shape (N, 3, S, S) in [-1, 1], as the autoencoder takes them.
        masks: Shape (N, 1, S, S), 1 = edit.
        subjects: Opacity of the objects, likewise.
        contents: What they show.
    """

    images: torch.Tensor
    masks: torch.Tensor
    subjects: torch.Tensor
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
    return _paint((draw_content(random, held_out) for _ in range(size)), random, glyphs, mask_rule)


def draw_contrasting_batch(seed: Sequence[int], size: int, glyphs: Glyphs) -> Batch:
    """Draw scenes half of which come in groups that differ in the object alone, so that it has to be told.

    Among scenes drawn freely, place, colour and size nearly always suffice to tell a caption's scene from the others.

    Args:
        seed: What the batch is for.
        size: How many.
        glyphs: What draws the objects.
    """
    random = np.random.default_rng(list(seed))
    contents: list[Content] = []
    while len(contents) < size // 2:
        shared = draw_content(random, held_out=False)
        others = [name for name in OBJECTS if not is_held_out(name, shared.place)]
        contents += [replace(shared, name=str(name)) for name in random.choice(others, CONTRASTED, replace=False)]
    contents += [draw_content(random, held_out=False) for _ in range(size - len(contents))]
    return _paint(contents[:size], random, glyphs, training_mask)


def _paint(contents: Iterable[Content], random: Generator, glyphs: Glyphs, mask_rule: MaskRule) -> Batch:
    scenes = [draw_scene(content, random, glyphs) for content in contents]
    masks = np.stack([mask_rule(scene, random) for scene in scenes])
    pictures = torch.from_numpy(np.stack([scene.picture for scene in scenes])).permute(0, 3, 1, 2)
    return Batch(
        images=(pictures * 2 - 1).contiguous(),
        masks=torch.from_numpy(masks)[:, None],
        subjects=torch.from_numpy(np.stack([scene.subject for scene in scenes]))[:, None],
        contents=[scene.content for scene in scenes],
    )
