"""Makes the masks and metadata of `datasets/photos` from its photographs and `photos.toml`."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from photoguard_eval.data.cases import METADATA
from photoguard_eval.files import sha256_of_bytes, sha256_of_file, write_atomically
from recipes.photos.cutout import Outline, cut_out

PHOTOS = Path(__file__).with_name("photos.toml")


def read_photos() -> dict[str, dict[str, Any]]:
    """Return what is written about each photograph, by the stem of its file."""
    return tomllib.loads(PHOTOS.read_text(encoding="utf-8"))


def outline_of(photo: Mapping[str, Any]) -> Outline:
    """Return where the subject of a photograph is."""
    return Outline(
        box=tuple(photo["box"]),
        edit=photo.get("edit", ()),
        keep=photo.get("keep", ()),
        drawn=photo.get("drawn", False),
    )


def make_dataset(folder: Path) -> None:
    """Write masks and metadata beside the photographs.

    Args:
        folder: The dataset's folder, with the photographs in `images`; its card is not touched.

    Raises:
        StoreError: If the folder cannot be written.
    """
    rows = []
    for number, (stem, photo) in enumerate(read_photos().items()):
        image, mask = folder / "images" / f"{stem}.jpg", folder / "masks" / f"{stem}.png"
        with Image.open(image) as picture:
            cut = cut_out(np.asarray(picture.convert("RGB")), outline_of(photo))
        buffer = io.BytesIO()
        Image.fromarray(cut).convert("1").save(buffer, format="PNG", optimize=True)
        write_atomically(mask, buffer.getvalue())
        prompts = photo["prompts"]
        rows.append(
            {
                "file_name": f"images/{image.name}",
                "mask_file_name": f"masks/{mask.name}",
                "sha256": sha256_of_file(image),
                "mask_sha256": sha256_of_bytes(buffer.getvalue()),
                "prompts": prompts,
                "seeds": [len(prompts) * number + index for index in range(len(prompts))],
                **{key: photo[key] for key in ("caption", "license", "source", "author")},
            }
        )
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(folder / METADATA, text.encode())
