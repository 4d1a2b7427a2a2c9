"""The artifact store: every intermediate result under the hash of what went into it.

An artifact is a record (JSON) and, for images, a PNG beside it. The record is written last and holds the hash of
what it describes, so an artifact is either whole or not there; one that was damaged afterwards is noticed when it is
read, counts as missing and is computed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photoguard_eval.errors import StoreError
from photoguard_eval.evaluation.results import EvaluationResult, read_result, write_result
from photoguard_eval.files import canonical_json, sha256_of_bytes, sha256_of_json, write_atomically

STORE_SCHEMA = 1


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
        marker = path / "store.json"
        if marker.is_file():
            self._require_schema(marker)
        elif path.is_dir() and any(path.iterdir()):
            raise StoreError(
                f"{path} is not empty and no store of photoguard-eval. Give a new folder, or one that an earlier run "
                "made."
            )
        else:
            write_atomically(marker, canonical_json({"store_schema": STORE_SCHEMA}) + b"\n")

    @classmethod
    def existing(cls, path: Path) -> Store:
        """Open a store that must be there already.

        Raises:
            StoreError: If there is none.
        """
        if not (path / "store.json").is_file():
            raise StoreError(f"There is no store in {path}. Run `photoguard-eval run --store {path}` first.")
        return cls(path)

    def _require_schema(self, marker: Path) -> None:
        try:
            schema = json.loads(marker.read_text(encoding="utf-8"))["store_schema"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{marker} is damaged ({error!r}). Use a new store folder.") from error
        if schema != STORE_SCHEMA:
            raise StoreError(
                f"{self.path} was written with store schema {schema!r}, this version uses {STORE_SCHEMA}. "
                "Give another folder with --store; the old one is left as it is."
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

    def image(self, key: str) -> bytes | None:
        """Return an image's file, or None if it is missing or damaged."""
        record = self._get(key)
        if record is None:
            return None
        try:
            png = self._path(key, "png").read_bytes()
        except OSError:
            png = b""
        if sha256_of_bytes(png) != record["sha256"]:
            self.damaged.append(key)
            return None
        return png

    def facts(self, key: str) -> dict[str, Any] | None:
        """Return what is known of an image, or None if it is missing or damaged."""
        record = self._get(key)
        return None if record is None else record["facts"]

    def put_values(self, key: str, values: Mapping[str, Any]) -> None:
        """Write numbers: an artifact without an image."""
        self._put(key, {"facts": dict(values)})

    def values(self, key: str) -> dict[str, Any] | None:
        """Return an artifact's numbers, or None if it is missing or damaged."""
        return self.facts(key)

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

    def _get(self, key: str) -> dict[str, Any] | None:
        path = self._path(key, "json")
        try:
            record = json.loads(path.read_bytes())
            checksum = record.pop("checksum")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, AttributeError):
            self.damaged.append(key)
            return None
        if record.get("key") != key or sha256_of_json(record) != checksum:
            self.damaged.append(key)
            return None
        return dict(record)


def read_board(path: Path) -> dict[str, list[EvaluationResult]]:
    """Read results that others share.

    Args:
        path: A result as JSON, a folder of them, or a store.

    Returns:
        The results of each file, or of the store, by its path.

    Raises:
        StoreError: If there is none, or one is damaged or of another schema.
    """
    if (path / "store.json").is_file():
        results = {str(path): Store.existing(path).results()}
    else:
        files = [path] if path.is_file() else sorted(path.glob("*.json"))
        results = {str(file): [read_result(file)] for file in files}
    if not any(results.values()):
        raise StoreError(f"{path} holds no result. Give a file that `leaderboard --export` wrote, or a folder of them.")
    return results
