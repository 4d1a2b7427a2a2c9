"""What scenes are made of, and which combinations are held out."""

from __future__ import annotations

from dataclasses import dataclass

OBJECTS = {
    "dog": "🐶", "cat": "🐱", "mouse": "🐭", "hamster": "🐹", "rabbit": "🐰", "fox": "🦊", "bear": "🐻", "panda": "🐼",
    "koala": "🐨", "tiger": "🐯", "lion": "🦁", "cow": "🐮", "pig": "🐷", "frog": "🐸", "monkey": "🐵",
    "chicken": "🐔", "penguin": "🐧", "owl": "🦉", "unicorn": "🦄", "turtle": "🐢", "snake": "🐍", "octopus": "🐙",
    "crab": "🦀", "fish": "🐠", "whale": "🐳", "elephant": "🐘", "horse": "🐴", "sheep": "🐑", "butterfly": "🦋",
    "bee": "🐝", "ladybug": "🐞", "snail": "🐌", "car": "🚗", "taxi": "🚕", "bus": "🚌", "fire engine": "🚒",
    "tractor": "🚜", "bicycle": "🚲", "rocket": "🚀", "airplane": "✈", "helicopter": "🚁", "sailboat": "⛵",
    "train": "🚂", "apple": "🍎", "banana": "🍌", "strawberry": "🍓", "watermelon": "🍉", "pizza": "🍕",
    "burger": "🍔", "cake": "🍰", "donut": "🍩", "mushroom": "🍄", "cactus": "🌵", "sunflower": "🌻", "rose": "🌹",
    "house": "🏠", "umbrella": "☂", "ball": "⚽", "guitar": "🎸", "drum": "🥁", "balloon": "🎈", "teddy": "🧸",
    "robot": "🤖", "ghost": "👻",
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


@dataclass(frozen=True)
class Look:
    """A faint texture over the whole scene and the colour grade that goes with it.

    Attributes:
        texture: Name of the texture; "" for none.
        exposure: Brightness, in natural logarithms.
        temperature: Red against blue, likewise.
        tint: Green against red and blue, likewise.
        gamma: Exponent of the tone curve, likewise.
        saturation: Factor on the distance from gray.
    """

    texture: str = ""
    exposure: float = 0.0
    temperature: float = 0.0
    tint: float = 0.0
    gamma: float = 0.0
    saturation: float = 1.0


LOOKS = {
    "plain": Look(),
    "television": Look("rows", -0.25, -0.45, 0.10, 0.25, 1.25),
    "film": Look("columns", 0.0, 0.40, 0.0, 0.0, 0.35),
    "print": Look("checks", 0.15, 0.15, -0.30, -0.25, 1.2),
    "painting": Look("rising", 0.25, 0.35, 0.12, -0.3, 1.1),
    "moonlight": Look("falling", -0.6, -0.40, -0.05, 0.45, 0.6),
    "comic": Look("dots", 0.2, -0.05, 0.30, 0.1, 1.4),
}


def is_held_out(name: str, place: str) -> bool:
    """Tell whether an object in a place is a combination that no training ever sees.

    The rule leaves out about one combination in sixteen, at most one place per object.
    """
    return (list(OBJECTS).index(name) * 7 + PLACES.index(place) * 3) % 16 == 0


def caption(name: str, colour: str | None, place: str) -> str:
    """Describe a scene, `a blue fox in the snow`."""
    return f"a {colour + ' ' if colour else ''}{name} {place}"
