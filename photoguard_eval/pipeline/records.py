"""The record of a folder of immunized images, by which an interrupted run resumes and overwrites nothing of others.

One line of JSON says of an image what was measured. Before the first image is written, a line claims each of them: so a
run that is killed, or loses the end of its record, still knows which images are its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from photoguard_eval.errors import StoreError
from photoguard_eval.files import named_in_errors, parse_json

RECORDS = "immunized.jsonl"
"""In the folder of the immunized images."""

Facts = dict[str, Any]


class _Measured(BaseModel):
    """What a line says of a finished image."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    key: str
    output: str
    attack: str
    sha256: str
    linf_levels: float
    rms_levels: float
    seconds: float
    gradient_evaluations: float
    unet_calls: float
    encoder_calls: float
    peak_memory_mib: float


class Records:
    """What has been immunized into a folder."""

    def __init__(self, folder: Path) -> None:
        """Read the record of a folder; a line that was cut off, or says something else, is left out.

        Args:
            folder: The folder; it may be missing.

        Raises:
            StoreError: If the file of the record is not text.
            UnreadableFileError: If it cannot be read.
        """
        self._path = folder / RECORDS
        self.claimed: set[str] = set()
        self.finished: dict[str, Facts] = {}
        for line in self._lines():
            try:
                record = parse_json(line)
                name = record.pop("name")
                self.claimed.add(name)
                _Measured.model_validate(record)
                self.finished[name] = record
            except (ValueError, ValidationError, KeyError, TypeError, AttributeError):
                continue

    def _lines(self) -> list[bytes]:
        with named_in_errors():
            try:
                lines = self._path.read_bytes().split(b"\n")
            except FileNotFoundError:
                return []
        try:
            for line in lines[:-1]:
                line.decode()
        except UnicodeDecodeError as error:
            raise StoreError(
                f"{self._path} is no record of immunized images: it is not UTF-8 text. Give another folder, or remove "
                "the file and the images that it is about."
            ) from error
        return lines

    def claim(self, names: Iterable[str]) -> None:
        """Record that images are about to be written.

        Args:
            names: Of the images.

        Raises:
            StoreError: If the record cannot be written.
        """
        new = [name for name in names if name not in self.claimed]
        if new:
            self._append({"name": name, "claimed": True} for name in new)
            self.claimed.update(new)

    def add(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record a finished image.

        Args:
            name: Of the image.
            facts: What was measured of it.

        Raises:
            StoreError: If the record cannot be written.
        """
        self._append([{"name": name, **facts}])

    def _append(self, records: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(record) + "\n" for record in records)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    # A line that was cut off must not swallow the next.
                    text = text if file.read() == b"\n" else f"\n{text}"
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(
                f"{self._path} could not be written: {error.strerror or error}. What was finished before stays; the "
                "same command goes on."
            ) from error
