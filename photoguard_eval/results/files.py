"""Results as files: written atomically, and read whatever version of this package wrote them."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from photoguard_eval.errors import StoreError
from photoguard_eval.files import write_atomically
from photoguard_eval.results.migrations import MigrationError, migrated
from photoguard_eval.results.schema import SCHEMA_VERSION, EvaluationResult


class _Versioned(BaseModel):
    """The version of a file, whatever else it holds."""

    schema_version: Any = None


def write_result(path: Path, result: EvaluationResult) -> None:
    """Write a result as JSON, atomically."""
    write_atomically(path, (result.model_dump_json(indent=1) + "\n").encode())


def read_result(path: Path) -> EvaluationResult:
    """Read a result of this schema version or an earlier one.

    Raises:
        StoreError: If the file is missing, damaged or of a later schema.
    """
    try:
        data = path.read_bytes()
        version = _Versioned.model_validate_json(data).schema_version
    except OSError as error:
        raise StoreError(f"{path} is no readable result ({error}). Run the evaluation again.") from error
    except ValidationError as error:
        raise StoreError(f"{path} is no readable result ({_first(error)}). Run the evaluation again.") from error
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise StoreError(
            f"{path} has result schema {reprlib.repr(version)}; this version reads 1 to {SCHEMA_VERSION}. "
            "Use the version of photoguard-eval that wrote it, or run the evaluation again."
        )
    try:
        data = migrated(data, version)
        # Strict: text that stands for a number was not written by this package.
        return EvaluationResult.model_validate_json(data, strict=True)
    except (ValidationError, MigrationError) as error:
        raise StoreError(
            f"{path} does not fit result schema {version}: {_first(error)}. Take a file that `leaderboard --export` "
            "wrote, or run the evaluation again."
        ) from error


def _first(error: ValidationError | MigrationError) -> str:
    if isinstance(error, MigrationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
