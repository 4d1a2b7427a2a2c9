"""Drawn places: each painter fills a square with one kind of place, different at every draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""Height × width × RGB, in [0, 1] up to rounding."""

Colour = tuple[float, float, float]


class Canvas:
    """A square picture with a horizon.

    Attributes:
        x: Horizontal position of each pixel in [0, 1).
        y: Vertical position, growing downwards.
        horizon: Height of the horizon, as a position.
        picture: What has been painted.
    """

    def __init__(self, side: int, random: Generator) -> None:
        """Start with black, and a horizon somewhat below the middle."""
        rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
        self.x, self.y = columns, rows
        self.side = side
        self.random = random
        self.horizon = random.uniform(0.45, 0.68)
        self.phases = random.uniform(0, 2 * np.pi, 4)
        self.picture: Picture = np.zeros((side, side, 3), np.float32)

    @property
    def above(self) -> NDArray[np.bool_]:
        """The pixels above the horizon."""
        above: NDArray[np.bool_] = self.y < self.horizon
        return above

    def sky(self, top: Colour, bottom: Colour) -> Picture:
        """A vertical gradient from the upper edge to the horizon."""
        return _blend(top, bottom, np.clip(self.y / self.horizon, 0, 1))

    def ground(self, far: Colour, near: Colour) -> Picture:
        """A vertical gradient from the horizon to the lower edge."""
        return _blend(far, near, np.clip((self.y - self.horizon) / (1 - self.horizon), 0, 1))

    def halves(self, upper: Picture, lower: Picture) -> None:
        """Paint one picture above the horizon and another below."""
        self.picture = np.where(self.above[..., None], upper, lower).astype(np.float32)

    def fill(self, where: NDArray[np.bool_], paint: Colour | Picture) -> None:
        """Paint some pixels."""
        self.picture = np.where(where[..., None], np.asarray(paint, np.float32), self.picture)

    def disc(self, x: float, y: float, radius: float) -> NDArray[np.bool_]:
        """The pixels of a disc."""
        inside: NDArray[np.bool_] = (self.x - x) ** 2 + (self.y - y) ** 2 < radius**2
        return inside

    def scatter(self, fewest: int, most: int, lowest: float, highest: float) -> list[tuple[float, float]]:
        """Draw between `fewest` and `most` − 1 positions with y in a range."""
        count = self.random.integers(fewest, most)
        return [(self.random.uniform(0, 1), self.random.uniform(lowest, highest)) for _ in range(count)]


def _blend(first: Colour, second: Colour, share: NDArray[np.float32]) -> Picture:
    start, end = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return (start + (end - start) * share[..., None]).astype(np.float32)


def meadow(canvas: Canvas) -> None:
    """Green land with a hill and flowers."""
    canvas.halves(canvas.sky((0.45, 0.7, 0.98), (0.8, 0.92, 1)), canvas.ground((0.45, 0.8, 0.3), (0.2, 0.55, 0.15)))
    ridge = canvas.horizon - 0.1 + 0.06 * np.sin(canvas.x * 7 + canvas.phases[0])
    canvas.fill((canvas.y > ridge) & canvas.above, (0.35, 0.68, 0.3))
    petals = ((1, 1, 0.4), (1, 0.5, 0.6), (1, 1, 1))
    for x, y in canvas.scatter(6, 14, canvas.horizon + 0.04, 1):
        canvas.fill(canvas.disc(x, y, 0.015), petals[canvas.random.integers(3)])


def beach(canvas: Canvas) -> None:
    """Sky, sea with waves, and sand."""
    waves = np.asarray((0.1, 0.5, 0.8), np.float32) + 0.08 * np.sin(canvas.y * 90 + canvas.phases[0])[..., None]
    canvas.halves(canvas.sky((0.3, 0.65, 1), (0.75, 0.9, 1)), waves)
    shore = canvas.horizon + canvas.random.uniform(0.1, 0.18) + 0.02 * np.sin(canvas.x * 9 + canvas.phases[1])
    canvas.fill(canvas.y > shore, (0.95, 0.85, 0.6))


def desert(canvas: Canvas) -> None:
    """Rows of dunes."""
    plain = np.broadcast_to(np.asarray((0.93, 0.75, 0.42), np.float32), canvas.picture.shape)
    canvas.halves(canvas.sky((0.55, 0.75, 0.95), (0.98, 0.9, 0.75)), plain)
    for row in range(3):
        crest = canvas.horizon + 0.12 * row + 0.07 * np.sin(canvas.x * (4 + row) + canvas.phases[row])
        red, green, blue = 0.95, 0.76, 0.42
        shade = 1 - 0.12 * row
        canvas.fill(canvas.y > crest, (red * shade, green * shade, blue * shade))


def snow(canvas: Canvas) -> None:
    """White land, mountains and falling flakes."""
    canvas.halves(canvas.sky((0.6, 0.72, 0.85), (0.85, 0.9, 0.96)), canvas.ground((0.97, 0.98, 1), (0.85, 0.9, 0.98)))
    zigzag = np.abs(((canvas.x * 3 + canvas.phases[0]) % 1) - 0.5) * 0.5
    canvas.fill((canvas.y > canvas.horizon - 0.25 + zigzag) & canvas.above, (0.62, 0.7, 0.82))
    for x, y in canvas.scatter(15, 30, 0, 1):
        canvas.fill(canvas.disc(x, y, 0.012), (1, 1, 1))


def stars(canvas: Canvas) -> None:
    """Night with stars and a moon."""
    canvas.picture = canvas.sky((0.02, 0.03, 0.15), (0.12, 0.12, 0.35))
    for _ in range(canvas.random.integers(20, 40)):
        row = canvas.random.integers(0, int(canvas.horizon * canvas.side))
        canvas.picture[row, canvas.random.integers(0, canvas.side)] = canvas.random.uniform(0.6, 1)
    moon = canvas.disc(canvas.random.uniform(0.15, 0.85), canvas.random.uniform(0.1, 0.25), 0.08)
    canvas.fill(moon, (0.95, 0.93, 0.75))
    canvas.fill(canvas.y > canvas.horizon + 0.05 * np.sin(canvas.x * 5 + canvas.phases[0]), (0.05, 0.1, 0.12))


def sunset(canvas: Canvas) -> None:
    """Red sky with half a sun on the horizon."""
    canvas.halves(canvas.sky((0.45, 0.2, 0.5), (1, 0.6, 0.25)), canvas.ground((0.5, 0.2, 0.3), (0.2, 0.08, 0.2)))
    sun = canvas.disc(canvas.random.uniform(0.2, 0.8), canvas.horizon, 0.13)
    canvas.fill(sun & canvas.above, (1, 0.85, 0.35))


def water(canvas: Canvas) -> None:
    """Under water: light from above, sand below, bubbles."""
    blue = _blend((0.1, 0.55, 0.8), (0.02, 0.12, 0.4), canvas.y)
    rays = 0.07 * np.maximum(0, np.sin(canvas.x * 14 + canvas.y * 5 + canvas.phases[0])) * (1 - canvas.y)
    canvas.picture = (blue + rays[..., None]).astype(np.float32)
    canvas.fill(canvas.y > 0.85 + 0.04 * np.sin(canvas.x * 8 + canvas.phases[1]), (0.75, 0.68, 0.45))
    for x, y in canvas.scatter(5, 12, 0, 0.8):
        distance = np.sqrt((canvas.x - x) ** 2 + (canvas.y - y) ** 2)
        canvas.fill(np.abs(distance - 0.02) < 0.008, (0.75, 0.9, 1))


def city(canvas: Canvas) -> None:
    """A street before a row of buildings with lit windows."""
    road = np.broadcast_to(np.asarray((0.35, 0.35, 0.38), np.float32), canvas.picture.shape)
    canvas.halves(canvas.sky((0.55, 0.7, 0.85), (0.85, 0.88, 0.9)), road)
    columns, rows = (canvas.x * canvas.side).astype(int), (canvas.y * canvas.side).astype(int)
    left = 0.0
    while left < 1:
        width, top = canvas.random.uniform(0.1, 0.22), canvas.random.uniform(0.08, 0.4)
        red, green, blue = canvas.random.uniform(0.3, 0.65, 3)
        building = (canvas.x >= left) & (canvas.x < left + width)
        building &= (canvas.y > canvas.horizon - 0.5 + top) & canvas.above
        canvas.fill(building, (red, green * 0.95, blue * 0.9))
        canvas.fill(building & (columns % 5 < 2) & (rows % 6 < 3), (1, 0.93, 0.6))
        left += width
    line = np.abs(canvas.y - (canvas.horizon + 1) / 2) < 0.012
    canvas.fill(line & ((canvas.x * 8 + canvas.phases[0]) % 2 < 1), (0.95, 0.9, 0.5))


def forest(canvas: Canvas) -> None:
    """Trees with round crowns."""
    canvas.halves(canvas.sky((0.5, 0.75, 0.6), (0.7, 0.85, 0.65)), canvas.ground((0.3, 0.4, 0.15), (0.2, 0.28, 0.1)))
    for _ in range(canvas.random.integers(7, 12)):
        x, half_width = canvas.random.uniform(0, 1), canvas.random.uniform(0.015, 0.03)
        top = canvas.random.uniform(0.1, 0.3)
        trunk = (np.abs(canvas.x - x) < half_width) & (canvas.y > top) & (canvas.y < canvas.horizon + 0.08)
        canvas.fill(trunk, (0.35, 0.22, 0.12))
        crown = canvas.disc(x, top, canvas.random.uniform(0.09, 0.16))
        canvas.fill(crown, (0.1, canvas.random.uniform(0.35, 0.55), 0.15))


def room(canvas: Canvas) -> None:
    """A wall with a window, and floor boards."""
    wall = np.broadcast_to(canvas.random.uniform(0.55, 0.95, 3).astype(np.float32), canvas.picture.shape)
    boards = 0.05 * np.sign(np.sin(canvas.x * 40 + canvas.phases[0]))[..., None]
    canvas.halves(wall, np.asarray((0.6, 0.4, 0.22), np.float32) + boards)
    canvas.fill(np.abs(canvas.y - canvas.horizon) < 0.015, (0.95, 0.95, 0.92))
    left, top = canvas.random.uniform(0.1, 0.7), canvas.random.uniform(0.08, 0.2)
    canvas.fill(_rectangle(canvas, left - 0.02, top - 0.02, 0.29), (0.98, 0.98, 0.98))
    canvas.fill(_rectangle(canvas, left, top, 0.25), (0.65, 0.85, 1))


def _rectangle(canvas: Canvas, left: float, top: float, side: float) -> NDArray[np.bool_]:
    across = (canvas.x > left) & (canvas.x < left + side)
    down = (canvas.y > top) & (canvas.y < top + side)
    inside: NDArray[np.bool_] = across & down
    return inside


PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "in a meadow": meadow,
    "on a beach": beach,
    "in the desert": desert,
    "in the snow": snow,
    "under the stars": stars,
    "at sunset": sunset,
    "under water": water,
    "in the city": city,
    "in a forest": forest,
    "in a room": room,
}


def paint_place(place: str, side: int, random: Generator) -> Picture:
    """Paint a place.

    Args:
        place: One of `vocabulary.PLACES`.
        side: Pixels a side.
        random: Where its details are drawn from.
    """
    canvas = Canvas(side, random)
    PAINTERS[place](canvas)
    return np.ascontiguousarray(canvas.picture, np.float32)
