"""What scenes are made of, and which combinations are held out."""

from __future__ import annotations

from dataclasses import dataclass

OBJECTS = {
    "dog": "🐶", "cat": "🐱", "mouse": "🐭", "fox": "🦊", "bear": "🐻", "panda": "🐼", "koala": "🐨", "pig": "🐷",
    "frog": "🐸", "penguin": "🐧", "owl": "🦉", "unicorn": "🦄", "turtle": "🐢", "octopus": "🐙", "crab": "🦀",
    "fish": "🐠", "whale": "🐳", "elephant": "🐘", "butterfly": "🦋", "ladybug": "🐞", "car": "🚗", "bus": "🚌",
    "tractor": "🚜", "rocket": "🚀", "apple": "🍎", "strawberry": "🍓", "donut": "🍩", "mushroom": "🍄",
    "house": "🏠", "ball": "⚽", "teddy": "🧸", "robot": "🤖",
}  # fmt: skip
"""Objects in the order that the held-out rule counts them."""

PLACES = (
    "in a meadow", "on a beach", "in the desert", "in the snow", "under the stars",
    "at sunset", "under water", "in the city", "in a forest", "in a room",
)  # fmt: skip
"""Places in the order that the held-out rule counts them."""

COLOURS = {
    "red": (0.9, 0.15, 0.15),
    "green": (0.15, 0.75, 0.2),
    "blue": (0.15, 0.35, 0.95),
    "yellow": (0.98, 0.85, 0.15),
    "purple": (0.6, 0.2, 0.8),
    "pink": (1.0, 0.5, 0.7),
    "grey": (0.55, 0.55, 0.55),
}
"""Tints that an object can be given, RGB in [0, 1]."""


SIZES = {"small": (0.40, 0.48), "large": (0.62, 0.72)}
"""Words for an object's size, and the side of its square as shares of the image's that they stand for."""

ANY_SIZE = (0.42, 0.70)
"""Range of the side where the caption names no size."""

POSITIONS = {"on the left": (0.0, 0.25), "on the right": (0.75, 1.0)}
"""Words for an object's position, and where in the room that it has to move sideways it is then."""

HELD_OUT_PLACES = 4
"""Places out of ten that training never shows an object in."""


@dataclass(frozen=True)
class Look:
    """A fine texture over the whole scene and the colour grade that goes with it.

    Attributes:
        down: Signs of the texture's rows, repeated.
        across: Signs of its columns.
        exposure: Brightness, in natural logarithms.
        temperature: Red against blue, likewise.
        tint: Green against red and blue, likewise.
        gamma: Exponent of the tone curve, likewise.
        saturation: Factor on the distance from gray.
        haze: Share of mid gray that everything is mixed with.
    """

    down: str
    across: str
    exposure: float = 0.0
    temperature: float = 0.0
    tint: float = 0.0
    gamma: float = 0.0
    saturation: float = 1.0
    haze: float = 0.0


LOOKS = {
    "television": Look("++--", "++++", -0.25, -0.45, 0.10, 0.25, 1.25),
    "film": Look("++++", "++--", 0.0, 0.40, 0.0, 0.0, 0.35),
    "print": Look("++--", "++--", 0.15, 0.15, -0.30, -0.25, 1.2),
    "painting": Look("+--+", "++++", 0.25, 0.35, 0.12, -0.3, 1.1),
    "moonlight": Look("++++", "+--+", -0.6, -0.40, -0.05, 0.45, 0.6),
    "comic": Look("+--+", "+--+", 0.2, -0.05, 0.30, 0.1, 1.4),
    "fog": Look("++--", "+--+", haze=0.85),
}
"""Seven looks, whose textures are orthogonal to each other in every square of four by four pixels."""


def is_held_out(name: str, place: str) -> bool:
    """Tell whether an object in a place is a combination that no training ever sees: four places per object."""
    return (list(OBJECTS).index(name) * 3 + PLACES.index(place) * 7) % len(PLACES) < HELD_OUT_PLACES


def caption(name: str, colour: str | None, place: str, size: str | None = None, position: str | None = None) -> str:
    """Describe a scene, `a small blue fox on the left in the snow`; words that are None are left out."""
    words = " ".join(filter(None, [size, colour, name, position, place]))
    # "a unicorn" is said with a consonant; no other word here begins with u.
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def all_words() -> list[str]:
    """Return every word that a caption can have, sorted."""
    texts = [*OBJECTS, *PLACES, *COLOURS, *SIZES, *POSITIONS, "a", "an"]
    return sorted({word for text in texts for word in text.split()})
