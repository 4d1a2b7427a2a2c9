"""The scene generator: seeded and infinite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.looks import apply_look
from recipes.emoji_scenes.places import Picture, paint_place
from recipes.emoji_scenes.vocabulary import (
    ANY_SIZE,
    COLOURS,
    LOOKS,
    OBJECTS,
    PLACES,
    POSITIONS,
    SIZES,
    caption,
    is_held_out,
)

SIDE = 64
"""Pixels a side of the scenes that the embedded checkpoints are trained on."""

NAMED_SHARE = 0.4
"""Share of scenes whose caption names the size, and likewise the position."""


@dataclass(frozen=True)
class Content:
    """What a scene shows. Colour, size or position may be None: the caption leaves them open then."""

    name: str
    colour: str | None
    place: str
    look: str
    size: str | None = None
    position: str | None = None

    @property
    def caption(self) -> str:
        """The scene in words; the look has none."""
        return caption(self.name, self.colour, self.place, self.size, self.position)


@dataclass(frozen=True)
class Scene:
    """A scene.

    Attributes:
        picture: Height × width × RGB, float32 in [0, 1].
        subject: Height × width: opacity of the object.
        content: What it shows.
        left: Left edge of the object's square, in pixels.
        top: Its upper edge.
        size: Its side.
    """

    picture: Picture
    subject: NDArray[np.float32]
    content: Content
    left: int
    top: int
    size: int


def draw_content(random: Generator, held_out: bool) -> Content:
    """Draw what a scene shows: any object, place and look, sometimes with a colour, a size or a position.

    Args:
        random: Where it is drawn from.
        held_out: Whether from the combinations that training never sees, or from all others.
    """
    while True:
        name, place = str(random.choice(list(OBJECTS))), str(random.choice(PLACES))
        if is_held_out(name, place) == held_out:
            break
    colour = str(random.choice(list(COLOURS))) if random.random() < 0.5 else None
    size = str(random.choice(list(SIZES))) if random.random() < NAMED_SHARE else None
    position = str(random.choice(list(POSITIONS))) if random.random() < NAMED_SHARE else None
    return Content(name, colour, place, str(random.choice(list(LOOKS))), size, position)


def draw_scene(content: Content, random: Generator, glyphs: Glyphs, side: int = SIDE) -> Scene:
    """Paint a scene.

    Args:
        content: What it shows.
        random: Where the place's details, deviations of the look, and what of size and position the content leaves open
            are drawn from.
        glyphs: What draws the object: a `glyphs.EmojiFont`.
        side: Pixels a side.
    """
    picture = paint_place(content.place, side, random)
    size = int(random.uniform(*(SIZES[content.size] if content.size else ANY_SIZE)) * side)
    glyph = glyphs(content.name, size)
    if random.random() < 0.5:
        glyph = glyph[:, ::-1]
    colours, opacity = glyph[..., :3], glyph[..., 3]
    if content.colour:
        colours = _tint(colours, content.colour)
    shift = random.uniform(*(POSITIONS[content.position] if content.position else (0, 1)))
    left = 2 + round(shift * (side - size - 4))
    top = int(np.clip(random.normal(0.45, 0.1) * side, 2, side - size - 2))
    window = (slice(top, top + size), slice(left, left + size))
    subject = np.zeros((side, side), np.float32)
    subject[window] = opacity
    picture[window] = picture[window] * (1 - opacity[..., None]) + colours * opacity[..., None]
    picture = apply_look(picture, subject, LOOKS[content.look], random)
    return Scene(picture, subject, content, left, top, size)


def _tint(colours: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Give an object one colour, keeping its light and dark."""
    light = colours @ np.array([0.3, 0.59, 0.11], np.float32)
    light = ((light - light.min()) / max(1e-3, float(np.ptp(light))))[..., None]
    shine = 0.25 * np.maximum(light - 0.75, 0)
    tinted = np.clip((0.35 + 0.9 * light) * np.array(COLOURS[name], np.float32) + shine, 0, 1)
    return np.asarray(tinted, np.float32)
