"""The pictures of a report: where their bytes come from, and how they are shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from photoguard_eval.errors import InvalidImageError, StoreError
from photoguard_eval.files import named_in_errors
from photoguard_eval.images import files as image_files
from photoguard_eval.results.facts import CaseInfo

if TYPE_CHECKING:
    from PIL.Image import Image

PERTURBATION_FACTOR = 10
"""How much a perturbation is amplified to be seen."""

MIDDLE_GRAY = 128

LARGEST_SIDE = 256
"""Larger pictures are scaled down for the page, so that sixty cases at 512 pixels stay a page that can be sent."""

JPEG_QUALITY = 80


class ReportImages(Protocol):
    """Gives a report the files of its pictures."""

    def artifact(self, key: str) -> bytes:
        """Return the PNG of a key: an immunized image or an edit."""

    def case_image(self, case: CaseInfo) -> bytes:
        """Return the file of a case's original."""

    def case_mask(self, case: CaseInfo) -> bytes:
        """Return the file of a case's mask."""


@dataclass(frozen=True)
class StoreImages:
    """Pictures from an artifact store and a dataset's folder.

    Attributes:
        dataset: The dataset's folder.
        read: Returns the file of a key, or None if it is missing or damaged.
    """

    dataset: Path
    read: Callable[[str], bytes | None]

    def artifact(self, key: str) -> bytes:
        """See `ReportImages.artifact`.

        Raises:
            StoreError: If it is missing or damaged.
        """
        data = self.read(key)
        if data is None:
            raise StoreError(f"The store lacks the image {key[:16]}… of this result. Run the evaluation again.")
        return data

    def case_image(self, case: CaseInfo) -> bytes:
        """See `ReportImages.case_image`.

        Raises:
            InvalidImageError: If the dataset's folder does not hold it.
        """
        return self._file(case.image)

    def case_mask(self, case: CaseInfo) -> bytes:
        """See `ReportImages.case_mask`.

        Raises:
            InvalidImageError: If the dataset's folder does not hold it.
        """
        return self._file(case.mask)

    def _file(self, name: str) -> bytes:
        relative = PurePosixPath(name)
        path = self.dataset / relative
        if relative.is_absolute() or ".." in relative.parts or not path.is_file():
            raise InvalidImageError(
                f"The dataset folder {self.dataset} has no file {name!r}, which the result shows. Give the dataset "
                "that the result was measured on."
            )
        with named_in_errors():
            return path.read_bytes()


@dataclass(frozen=True)
class Embedded:
    """A picture as the page carries it.

    Attributes:
        uri: The file as a data URI.
        width: In pixels.
        height: In pixels.
        scaled: Whether it was scaled down and is lossy.
    """

    uri: str
    width: int
    height: int
    scaled: bool


def decode(file: bytes) -> Image:
    """Decode an image file as the models see it: upright, sRGB, transparency over white."""
    return image_files.decode(file, "a picture of the report")


def embed(file: bytes) -> Embedded:
    """Embed an image file: one of up to `LARGEST_SIDE` pixels as it is, a larger one scaled down, as JPEG.

    Args:
        file: An image file. A small one that is not PNG is embedded as the PNG of its pixels.
    """
    height, width = image_files.read_size(file)
    if max(height, width) > LARGEST_SIDE:
        return _scaled_down(decode(file))
    png = file if file.startswith(image_files.PNG_SIGNATURE) else _png(decode(file))
    return Embedded(_uri("png", png), width, height, scaled=False)


def embed_perturbation(original: bytes, immunized: bytes) -> Embedded:
    """Show what was added to an image, ten times as strong, around middle gray.

    Args:
        original: File of the original.
        immunized: File of the immunized image, of the same size.
    """
    import numpy as np
    from PIL import Image

    before, after = (np.asarray(decode(file), np.int16) for file in (original, immunized))
    shown = np.clip(MIDDLE_GRAY + PERTURBATION_FACTOR * (after - before), 0, 255).astype(np.uint8)
    image = Image.fromarray(shown)
    if max(image.size) <= LARGEST_SIDE:
        return Embedded(_uri("png", _png(image)), image.width, image.height, scaled=False)
    return _scaled_down(image)


def _scaled_down(image: Image) -> Embedded:
    from PIL.Image import Resampling

    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return Embedded(_uri("jpeg", buffer.getvalue()), image.width, image.height, scaled=True)


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
