"""Looks: what ties a scene together, so that the kept part of a subject tells how its surroundings must look."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.emoji_scenes.places import Picture
from recipes.emoji_scenes.vocabulary import Look

SUBJECT_SHARE = 0.25
"""How much of a look's grade the subject shows; its texture it shows in full."""

TEXTURE_LEVELS = (8, 14)
"""Range of a texture's contrast, in levels of 1/255: faint, as small detail is in photographs."""

JITTER = (0.1, 0.07, 0.04, 0.1, 0.1)
"""Standard deviations of exposure, temperature, tint, gamma and saturation from scene to scene."""


def apply_look(picture: Picture, subject: NDArray[np.float32], look: Look, random: Generator) -> Picture:
    """Grade a scene, its subject less than its surroundings, and lay the texture over both.

    Args:
        picture: Height × width × RGB in [0, 1].
        subject: Height × width, 1 = subject.
        look: The look.
        random: Where this scene's deviations are drawn from.
    """
    neutral = np.array([0, 0, 0, 0, 1.0])
    full = np.array([look.exposure, look.temperature, look.tint, look.gamma, look.saturation])
    jitter = random.normal(0, 1, 5) * np.array(JITTER)
    weak = neutral + SUBJECT_SHARE * (full - neutral)
    share = subject[..., None]
    graded = _grade(picture, full + jitter) * (1 - share) + _grade(picture, weak + jitter) * share
    contrast = random.uniform(*TEXTURE_LEVELS) / 255
    return np.clip(graded + texture(look.texture, len(picture))[..., None] * contrast, 0, 1).astype(np.float32)


def texture(name: str, side: int) -> NDArray[np.float32]:
    """Return a texture of mean zero and about unit amplitude, height × width; "" gives none."""
    row, column = np.mgrid[0:side, 0:side]
    patterns = {
        "rows": row % 2,
        "columns": column % 2,
        "checks": (row + column) % 2,
        "rising": (row + column) // 2 % 2,
        "falling": (column - row) // 2 % 2,
        "dots": (row % 4 < 2) & (column % 4 < 2),
    }
    pattern = patterns.get(name, np.zeros((side, side))).astype(np.float32)
    centred: NDArray[np.float32] = ((pattern - pattern.mean()) * 2).astype(np.float32)
    return centred


def _grade(picture: Picture, values: NDArray[np.float64]) -> NDArray[np.float64]:
    exposure, temperature, tint, gamma, saturation = values
    balance = temperature * np.array([1, 0, -1]) + tint * np.array([-0.5, 1, -0.5])
    toned = np.clip(picture, 0, 1) ** np.exp(gamma) * np.exp(exposure + balance)
    gray = toned.mean(axis=-1, keepdims=True)
    graded: NDArray[np.float64] = np.clip(gray + (toned - gray) * np.clip(saturation, 0.05, 1.6), 0, 1)
    return graded
