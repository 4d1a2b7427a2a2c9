"""The artifact store: every intermediate result under the hash of what went into it.

An artifact is a record (JSON) and, for images, a PNG beside it. The record is written last and holds the hash of
what it describes, so an artifact is either whole or not there; one that was damaged afterwards is noticed when it is
read, counts as missing and is computed again.

A marker says that the folder is a store, and by which schema it was written. It is the first file of a store, so that
runs may start together on a new one; where it is lost, the records, each with a checksum of its own, say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from photoguard_eval.errors import StoreError
from photoguard_eval.files import (
    canonical_json,
    is_temporary,
    parse_json,
    sha256_of_bytes,
    sha256_of_json,
    write_atomically,
)
from photoguard_eval.pipeline.artifacts import Facts
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.results.files import read_result, write_result
from photoguard_eval.results.schema import EvaluationResult

STORE_SCHEMA = 1
MARKER = "store.json"

Kind = TypeVar("Kind", bound=Facts)


class _Record(BaseModel):
    """The record of an artifact; `sha256` is of its image."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: str
    sha256: str | None = None
    facts: dict[str, Any]


class Store:
    """A folder of artifacts and results."""

    def __init__(self, path: Path) -> None:
        """Open a store, or start one.

        Args:
            path: The folder; it is made if it is not there.

        Raises:
            StoreError: If the folder holds a store of another schema or something else, or cannot be written.
        """
        self.path = path
        self.damaged: list[str] = []
        # The folder is listed before its marker is read: what another run adds, it adds after the marker.
        is_empty = _is_empty(path)
        schema = _read_schema(path / MARKER)
        if schema is None and not is_empty:
            self._restore_marker()
        elif schema is None:
            write_atomically(path / MARKER, _marker())
        elif schema != STORE_SCHEMA:
            raise StoreError(
                f"{path} was written with store schema {schema!r}, this version uses {STORE_SCHEMA}. "
                "Give another folder with --store; the old one is left as it is."
            )

    @classmethod
    def existing(cls, path: Path) -> Store:
        """Open a store that must be there already.

        Raises:
            StoreError: If there is none.
        """
        if not is_store(path):
            raise StoreError(f"There is no store in {path}. Run `photoguard-eval run --store {path}` first.")
        return cls(path)

    def _restore_marker(self) -> None:
        marker = self.path / MARKER
        if not _holds_artifacts(self.path):
            raise StoreError(
                f"{self.path} is not empty and no store of photoguard-eval: it holds no whole artifact, and "
                f"{MARKER} is {'damaged' if marker.exists() else 'missing'}. Give a new folder, or one that an earlier "
                "run made."
            )
        what = "damaged" if marker.exists() else "missing"
        write_atomically(marker, _marker())
        Progress().say(
            f"{marker} was {what} and is written again. Nothing is lost: every artifact has a checksum of its own."
        )

    def put_image(self, key: str, png: bytes, facts: Mapping[str, Any]) -> None:
        """Write an image and what is known of it.

        Args:
            key: Hash of what went into it.
            png: The file.
            facts: JSON values, such as what it cost.
        """
        write_atomically(self._path(key, "png"), png)
        self._put(key, {"sha256": sha256_of_bytes(png), "facts": dict(facts)})

    def image(self, key: str, kind: type[Facts] | None = None) -> bytes | None:
        """Return an image's file, or None if it is missing or damaged.

        Args:
            key: Hash of what went into it.
            kind: What must be known of it besides; facts of another shape are damaged. By default anything.
        """
        record = self._get(key)
        if record is None or (kind is not None and self._facts(record, kind) is None):
            return None
        try:
            png = self._path(key, "png").read_bytes()
        except OSError:
            png = b""
        if sha256_of_bytes(png) != record.sha256:
            self.damaged.append(key)
            return None
        return png

    def facts(self, key: str, kind: type[Kind]) -> Kind | None:
        """Return what is known of an image, or None if it is missing or damaged.

        Args:
            key: Hash of what went into the image.
            kind: What must be known of it.
        """
        record = self._get(key)
        return None if record is None else self._facts(record, kind)

    def put_values(self, key: str, values: Mapping[str, Any]) -> None:
        """Write numbers: an artifact without an image."""
        self._put(key, {"facts": dict(values)})

    def values(self, key: str, kind: type[Kind]) -> Kind | None:
        """Return an artifact's numbers, or None if it is missing or damaged.

        Args:
            key: Hash of what went into them.
            kind: Which numbers there must be.
        """
        return self.facts(key, kind)

    def write_result(self, result: EvaluationResult) -> Path:
        """Write an evaluation's result and return its path."""
        path = self._result_path(result.id)
        write_result(path, result)
        return path

    def result(self, evaluation_id: str) -> EvaluationResult | None:
        """Return the result of an evaluation, or None if there is none that can be read."""
        path = self._result_path(evaluation_id)
        if not path.is_file():
            return None
        try:
            return read_result(path)
        except StoreError:
            self.damaged.append(path.name)
            return None

    def results(self) -> list[EvaluationResult]:
        """Return all results, the latest started last.

        Raises:
            StoreError: If one is damaged or of another schema.
        """
        found = [read_result(path) for path in sorted((self.path / "results").glob("*.json"))]
        return sorted(found, key=lambda result: (result.provenance.started, result.id))

    def latest_result(self) -> EvaluationResult:
        """Return the result of the evaluation that was started last.

        Raises:
            StoreError: If there is none, or one is damaged or of another schema.
        """
        results = self.results()
        if not results:
            raise StoreError(f"{self.path} holds no result yet. Run `photoguard-eval run --store {self.path}`.")
        return results[-1]

    def _result_path(self, evaluation_id: str) -> Path:
        return self.path / "results" / f"{evaluation_id[:16]}.json"

    def _path(self, key: str, suffix: str) -> Path:
        return self.path / "artifacts" / key[:2] / f"{key}.{suffix}"

    def _put(self, key: str, record: dict[str, Any]) -> None:
        body = {"key": key, **record}
        write_atomically(self._path(key, "json"), canonical_json({**body, "checksum": sha256_of_json(body)}) + b"\n")

    def _get(self, key: str) -> _Record | None:
        path = self._path(key, "json")
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            data = b""
        record = _parse(data)
        if record is None or record.key != key:
            self.damaged.append(key)
            return None
        return record

    def _facts(self, record: _Record, kind: type[Kind]) -> Kind | None:
        try:
            return kind.model_validate(record.facts, strict=True)
        except ValidationError:
            self.damaged.append(record.key)
            return None


def _parse(data: bytes) -> _Record | None:
    """Return the record that a file holds, or None if it is damaged."""
    try:
        content = parse_json(data)
        checksum = content.pop("checksum")
        whole = sha256_of_json(content) == checksum
        return _Record.model_validate(content) if whole else None
    # Whatever bytes there may be: text that is no JSON or nested without end, lists and numbers for records, NaN.
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _marker() -> bytes:
    return canonical_json({"store_schema": STORE_SCHEMA}) + b"\n"


def _read_schema(marker: Path) -> int | None:
    """Return the schema that a marker names, or None if it is missing or damaged."""
    try:
        schema = parse_json(marker.read_bytes())["store_schema"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return schema if type(schema) is int else None


def _is_empty(path: Path) -> bool:
    """Tell whether a folder is missing or holds nothing but a marker that is being written, by another run perhaps.

    Raises:
        StoreError: If there is something else, or the folder cannot be read.
    """
    try:
        return all(is_temporary(file, MARKER) for file in path.iterdir())
    except FileNotFoundError:
        return True
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read as the folder of a store: {error.strerror or error}. Give another with --store."
        ) from error


def _holds_artifacts(path: Path) -> bool:
    """Tell whether a folder holds a whole artifact of this schema, by its checksum."""
    for file in path.glob("artifacts/??/*.json"):
        try:
            record = _parse(file.read_bytes())
        except OSError:
            continue
        if record is not None and record.key == file.stem:
            return True
    return False


def is_store(path: Path) -> bool:
    """Tell whether a folder is a store, also one whose marker is lost."""
    return (path / MARKER).is_file() or _holds_artifacts(path)


def damaged_meanwhile(store: Store, key: str) -> StoreError:
    """Return the error of an artifact that was whole when a run began, and is no longer when the run reads it."""
    return StoreError(f"The artifact {key[:16]}… in {store.path} was damaged while the run went on. Run it again.")
