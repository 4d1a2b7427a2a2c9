"""The pictures of a report: where their bytes come from, and how they are shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from photoguard_eval.errors import StoreError
from photoguard_eval.evaluation.results import CaseInfo

PERTURBATION_FACTOR = 10
"""How much a perturbation is amplified to be seen."""

MIDDLE_GRAY = 128

LARGEST_SIDE = 256
"""Larger pictures are scaled down for the page, so that sixty cases at 512 pixels stay a page that can be sent."""


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
        """See `ReportImages.case_image`."""
        return (self.dataset / case.image).read_bytes()

    def case_mask(self, case: CaseInfo) -> bytes:
        """See `ReportImages.case_mask`."""
        return (self.dataset / case.mask).read_bytes()


def data_uri(file: bytes) -> str:
    """Return a picture as a data URI; one larger than `LARGEST_SIDE` is scaled down and stored as lossy WebP."""
    from PIL import Image

    image = Image.open(io.BytesIO(file))
    if max(image.size) <= LARGEST_SIDE and image.format == "PNG":
        return _uri("png", file)
    buffer = io.BytesIO()
    smaller = image.convert("RGB")
    smaller.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    smaller.save(buffer, format="WEBP", quality=85)
    return _uri("webp", buffer.getvalue())


def perturbation_png(original: bytes, immunized: bytes) -> bytes:
    """Show what was added to an image, ten times as strong, around middle gray.

    Args:
        original: File of the original.
        immunized: File of the immunized image, of the same size.
    """
    import numpy as np
    from PIL import Image

    before, after = (
        np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), np.int16) for file in (original, immunized)
    )
    shown = np.clip(MIDDLE_GRAY + PERTURBATION_FACTOR * (after - before), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, format="PNG")
    return buffer.getvalue()


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
