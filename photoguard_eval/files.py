"""Files that are whole or absent: atomic writes, hashes and the one canonical form of JSON."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from photoguard_eval.errors import StoreError


def canonical_json(value: Any) -> bytes:
    """Serialise a value the same way every time: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: If the value holds NaN or an infinity, which JSON cannot carry.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_of_bytes(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return sha256_of_bytes(canonical_json(value))


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    The data goes to a temporary file in the same folder, is flushed to the disk and renamed over `path`.

    Args:
        path: Where to write; missing folders are made.
        data: The whole content.

    Raises:
        StoreError: If the disk is full or the folder cannot be written; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"The disk is full: {path} could not be written ({len(data)} bytes). What was written before "
                "is whole; free some space and run the same command again, it goes on where it stopped."
            ) from error
        raise StoreError(
            f"{path} could not be written: {error.strerror or error}. Choose a folder that can be written."
        ) from error
    finally:
        # Gone already if it was renamed; left over if anything stopped the writing, an interrupt from the keyboard too.
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
