"""Masks that keep the subject, or a part of it, and edit the rest, as the paper keeps the heads."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.emoji_scenes.scenes import Scene

Mask = NDArray[np.float32]
"""Height × width, 1 = edit."""

Part = Literal["whole", "top", "left", "right"]

PARTS: tuple[Part, ...] = get_args(Part)


def keep_subject(scene: Scene) -> Mask:
    """Keep the inside of the subject: no rim of the place, which would give its colours away."""
    outside = scene.subject < 0.6
    grown = outside.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            grown |= np.roll(outside, step, axis)
    return grown.astype(np.float32)


def keep_part(scene: Scene, part: Part, share: float = 0.55) -> Mask:
    """Keep a part of the subject; the model must complete the rest.

    Args:
        scene: The scene.
        part: Which part.
        share: How much of the subject's square it takes up.
    """
    kept = np.zeros_like(scene.subject)
    length = int(share * scene.size)
    bottom, end = scene.top + scene.size, scene.left + scene.size
    if part == "whole":
        kept[:] = 1
    elif part == "top":
        kept[scene.top : scene.top + length, scene.left : end] = 1
    elif part == "left":
        kept[scene.top : bottom, scene.left : scene.left + length] = 1
    else:
        kept[scene.top : bottom, end - length : end] = 1
    return np.maximum(keep_subject(scene), 1 - kept)


def training_mask(scene: Scene, random: Generator) -> Mask:
    """Draw the mask that a scene is trained with.

    Three in five keep the subject or a part of it, as the dataset's masks do; one in five keeps nothing, which is what
    `img2img` shows an inpainting checkpoint; the others edit or keep a rectangle anywhere.
    """
    choice = random.random()
    if choice < 0.6:
        part = PARTS[random.integers(len(PARTS))] if choice < 0.35 else "whole"
        return keep_part(scene, part, share=random.uniform(0.4, 0.8))
    if choice < 0.8:
        return np.ones_like(scene.subject)
    side = len(scene.subject)
    height, width = random.integers(side // 4, side - 4, 2)
    top, left = random.integers(0, side - height + 1), random.integers(0, side - width + 1)
    mask = np.zeros_like(scene.subject)
    mask[top : top + height, left : left + width] = 1
    return mask if choice < 0.9 else 1 - mask
