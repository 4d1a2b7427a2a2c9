"""Looks: what ties a scene together, so that the kept part of a subject tells how its surroundings must look."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.emoji_scenes.places import Picture
from recipes.emoji_scenes.vocabulary import Look

SUBJECT_SHARE = 0.1
"""How much of a look's grade the subject shows."""

SUBJECT_TEXTURE_LEVELS = (6, 10)
"""Range of the texture's amplitude on the subject, in levels of 1/255: faint, as small detail is in photographs."""

PLACE_TEXTURE_LEVELS = (16, 26)
"""Range of its amplitude on the surroundings, where it can be seen."""

JITTER = (0.07, 0.05, 0.03, 0.07, 0.07)
"""Standard deviations of exposure, temperature, tint, gamma and saturation from scene to scene."""


def apply_look(picture: Picture, subject: NDArray[np.float32], look: Look, random: Generator) -> Picture:
    """Grade a scene, its subject far less than its surroundings, and lay the texture over both.

    Args:
        picture: Height × width × RGB in [0, 1].
        subject: Height × width, 1 = subject.
        look: The look.
        random: Where this scene's deviations are drawn from.
    """
    neutral = np.array([0, 0, 0, 0, 1.0])
    full = np.array([look.exposure, look.temperature, look.tint, look.gamma, look.saturation])
    jitter = random.normal(0, 1, 5) * np.array(JITTER)
    pattern = texture(look, len(picture))
    on_place = pattern * (random.uniform(*PLACE_TEXTURE_LEVELS) / 255)
    on_subject = pattern * (random.uniform(*SUBJECT_TEXTURE_LEVELS) / 255)
    place = _mist(_grade(picture, full + jitter) + on_place[..., None], look.haze)
    weak = _grade(picture, neutral + SUBJECT_SHARE * (full - neutral) + jitter)
    # The subject's texture lies over the haze: it must tell the look in fog as it does elsewhere.
    body = _mist(weak, SUBJECT_SHARE * look.haze) + on_subject[..., None]
    share = subject[..., None]
    return np.clip(place * (1 - share) + body * share, 0, 1).astype(np.float32)


def texture(look: Look, side: int) -> NDArray[np.float32]:
    """Return a look's texture, height × width of −1 and 1 with mean zero, its period four pixels."""
    down, across = (np.array([1 if sign == "+" else -1 for sign in signs]) for signs in (look.down, look.across))
    tile = np.outer(down, across).astype(np.float32)
    repeats = -(-side // len(tile))
    return np.tile(tile, (repeats, repeats))[:side, :side]


def _grade(picture: Picture, values: NDArray[np.float64]) -> NDArray[np.float64]:
    exposure, temperature, tint, gamma, saturation = values
    balance = temperature * np.array([1, 0, -1]) + tint * np.array([-0.5, 1, -0.5])
    toned = np.clip(picture, 0, 1) ** np.exp(gamma) * np.exp(exposure + balance)
    gray = toned.mean(axis=-1, keepdims=True)
    graded: NDArray[np.float64] = np.clip(gray + (toned - gray) * np.clip(saturation, 0.05, 1.6), 0, 1)
    return graded


def _mist(picture: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return picture * (1 - share) + 0.5 * share
