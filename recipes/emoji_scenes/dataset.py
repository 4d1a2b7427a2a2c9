"""Makes `datasets/emoji-scenes`: twenty held-out scenes, each to be edited into three other places."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photoguard_eval.data.cases import METADATA
from photoguard_eval.files import sha256_of_bytes, write_atomically
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.masks import Part, keep_part
from recipes.emoji_scenes.scenes import Content, draw_scene
from recipes.emoji_scenes.vocabulary import LOOKS, PLACES, is_held_out

LICENSE = "Apache-2.0"
AUTHOR = "Emoji artwork: Google (Noto Emoji); scenes: the developers of photoguard-eval"
SOURCE = "python -m recipes.emoji_scenes dataset"

SEED = 2023

KEPT_PARTS: tuple[Part, ...] = ("whole", "top", "whole", "left", "whole", "right")
"""What is kept of the subject, image by image: the whole of it in every other image."""

DATASET_LOOKS = tuple(name for name in LOOKS if name != "fog")
"""Looks of the images. Fog is left out: the gray that attacks drive an edit to is what its edits show anyway."""


@dataclass(frozen=True)
class Subject:
    """The subject of an image of the dataset, in the words of all of its prompts."""

    name: str
    colour: str | None = None
    size: str | None = None
    position: str | None = None


SUBJECTS = (
    Subject("dog"), Subject("cat", "purple"), Subject("mouse", size="large"), Subject("fox", "blue"),
    Subject("bear", "red", position="on the left"), Subject("panda"), Subject("koala", size="large"),
    Subject("pig", "green"), Subject("frog", "yellow"), Subject("penguin"), Subject("owl", "pink", size="large"),
    Subject("unicorn"), Subject("turtle", "green"), Subject("octopus", position="on the right"), Subject("fish"),
    Subject("elephant", "grey"), Subject("car", "green"), Subject("bus", "blue", position="on the right"),
    Subject("strawberry", size="large"), Subject("teddy", "red"),
)  # fmt: skip


def held_out_places(name: str) -> list[str]:
    """Return the places that no training scene shows this object in, in the order of `PLACES`."""
    return [place for place in PLACES if is_held_out(name, place)]


def places_of_image(index: int) -> tuple[str, list[str]]:
    """Return where an image's subject stands, and the three places to edit it to; all of them are held out for it."""
    places = held_out_places(SUBJECTS[index].name)
    own = places.pop((3 * index + index // 6) % len(places))
    return own, places


def look_of_image(index: int) -> str:
    """Return an image's look; over the dataset, every look meets masks of the whole subject and of parts."""
    return DATASET_LOOKS[(index + index // len(KEPT_PARTS)) % len(DATASET_LOOKS)]


def make_dataset(folder: Path, glyphs: Glyphs, seed: int = SEED) -> None:
    """Write images, masks and metadata.

    Args:
        folder: The dataset's folder; its card and licence are not touched.
        glyphs: What draws the objects: a `glyphs.EmojiFont`.
        seed: Of the scenes; another one than the published dataset's gives other pictures of the same subjects.

    Raises:
        StoreError: If the folder cannot be written.
    """
    rows = [_make_image(folder, index, subject, glyphs, seed) for index, subject in enumerate(SUBJECTS)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(folder / METADATA, text.encode())


def _make_image(folder: Path, index: int, subject: Subject, glyphs: Glyphs, seed: int) -> dict[str, object]:
    place, others = places_of_image(index)
    content = Content(subject.name, subject.colour, place, look_of_image(index), subject.size, subject.position)
    scene = draw_scene(content, np.random.default_rng([seed, index]), glyphs)
    mask = keep_part(scene, KEPT_PARTS[index % len(KEPT_PARTS)])
    stem = "-".join([*filter(None, [subject.colour]), subject.name, *place.split()])
    image_name, mask_name = f"images/{stem}.png", f"masks/{stem}.png"
    edits = [replace(content, place=other) for other in others]
    return {
        "file_name": image_name,
        "mask_file_name": mask_name,
        "sha256": _write(folder / image_name, scene.picture),
        "mask_sha256": _write(folder / mask_name, mask),
        "prompts": [wanted.caption for wanted in edits],
        "seeds": [3 * index + step for step in range(3)],
        "caption": content.caption,
        "license": LICENSE,
        "source": SOURCE if seed == SEED else f"{SOURCE} --seed {seed}",
        "author": AUTHOR,
    }


def _write(path: Path, values: NDArray[np.float32]) -> str:
    buffer = io.BytesIO()
    Image.fromarray((values * 255).round().astype(np.uint8)).save(buffer, format="PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
    return sha256_of_bytes(buffer.getvalue())
