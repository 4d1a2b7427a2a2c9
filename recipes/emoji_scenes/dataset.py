"""Makes `datasets/emoji-scenes`: twenty held-out scenes, each to be edited into three other places."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photoguard_eval.cases import METADATA
from photoguard_eval.files import sha256_of_bytes, write_atomically
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.masks import Part, keep_part
from recipes.emoji_scenes.scenes import Content, draw_scene
from recipes.emoji_scenes.vocabulary import LOOKS, PLACES, is_held_out

LICENSE = "Apache-2.0"
AUTHOR = "Emoji artwork: Google (Noto Emoji); scenes: the developers of photoguard-eval"
SOURCE = "python -m recipes.emoji_scenes dataset"

SEED = 2023

PARTS: tuple[Part, ...] = ("whole", "top", "whole", "left", "whole", "right")
"""What is kept of the subject, image by image: the whole of it in every other image."""


@dataclass(frozen=True)
class Subject:
    """The subject of an image of the dataset; its place is the one that is held out for it."""

    name: str
    colour: str | None = None


SUBJECTS = (
    Subject("dog"), Subject("cat", "purple"), Subject("mouse"), Subject("hamster", "blue"), Subject("bear", "red"),
    Subject("panda"), Subject("koala"), Subject("cow"), Subject("pig"), Subject("frog", "yellow"),
    Subject("penguin"), Subject("owl", "pink"), Subject("unicorn"), Subject("turtle", "green"), Subject("fish"),
    Subject("car", "green"), Subject("bus", "blue"), Subject("strawberry"), Subject("house"), Subject("teddy", "red"),
)  # fmt: skip


def held_out_place(name: str) -> str:
    """Return the place that no training scene shows this object in.

    Raises:
        ValueError: If the rule leaves out no place for it.
    """
    for place in PLACES:
        if is_held_out(name, place):
            return place
    raise ValueError(f"every place of the {name} is in the training stream; choose another subject")


def prompt_places(name: str, index: int) -> list[str]:
    """Choose three places to edit an image to, different from its own, evenly over the dataset."""
    others = [place for place in PLACES if place != held_out_place(name)]
    return [others[(index * 2 + step * 3) % len(others)] for step in range(3)]


def make_dataset(folder: Path, glyphs: Glyphs) -> None:
    """Write images, masks and metadata.

    Args:
        folder: The dataset's folder; its card and licence are not touched.
        glyphs: What draws the objects: a `glyphs.EmojiFont`.

    Raises:
        StoreError: If the folder cannot be written.
    """
    rows = [_make_image(folder, index, subject, glyphs) for index, subject in enumerate(SUBJECTS)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(folder / METADATA, text.encode())


def _make_image(folder: Path, index: int, subject: Subject, glyphs: Glyphs) -> dict[str, object]:
    content = Content(subject.name, subject.colour, held_out_place(subject.name), list(LOOKS)[index % len(LOOKS)])
    scene = draw_scene(content, np.random.default_rng([SEED, index]), glyphs)
    mask = keep_part(scene, PARTS[index % len(PARTS)])
    stem = "-".join([*filter(None, [subject.colour]), subject.name, *content.place.split()])
    image_name, mask_name = f"images/{stem}.png", f"masks/{stem}.png"
    places = prompt_places(subject.name, index)
    edits = [Content(subject.name, subject.colour, place, content.look) for place in places]
    return {
        "file_name": image_name,
        "mask_file_name": mask_name,
        "sha256": _write(folder / image_name, scene.picture),
        "mask_sha256": _write(folder / mask_name, mask),
        "prompts": [wanted.caption for wanted in edits],
        "seeds": [3 * index + step for step in range(3)],
        "caption": content.caption,
        "license": LICENSE,
        "source": SOURCE,
        "author": AUTHOR,
    }


def _write(path: Path, values: NDArray[np.float32]) -> str:
    buffer = io.BytesIO()
    Image.fromarray((values * 255).round().astype(np.uint8)).save(buffer, format="PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
    return sha256_of_bytes(buffer.getvalue())
