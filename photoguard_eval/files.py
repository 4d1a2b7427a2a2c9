"""Files that are whole or absent: atomic writes, hashes, locks and the one canonical form of JSON."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from photoguard_eval.errors import ConfigurationError, StoreError, UnreadableFileError

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.tmp")
"""What `write_atomically` calls a file until it is whole."""


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
    """Return the SHA-256 of a file's content in hexadecimal.

    Raises:
        UnreadableFileError: If the file cannot be read.
    """
    with named_in_errors(), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """Read a file of text, without the byte order mark that some editors begin it with.

    Raises:
        UnreadableFileError: If it cannot be read, or is not UTF-8.
    """
    with named_in_errors():
        data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error


def parse_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: If it is none, or is nested deeper than anything that is meant to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@contextlib.contextmanager
def named_in_errors() -> Iterator[None]:
    """Say which file the system refuses to read or write, and what to do, in place of its own errors.

    Raises:
        UnreadableFileError: If it refuses one.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise UnreadableFileError(
            f"{error.filename} cannot be read or written: {error.strerror or error}. Check that it is what it should "
            "be, a file or a folder, and its permissions."
        ) from error


STALE_SECONDS = 24 * 3600
"""A file takes seconds to write: a temporary one of this age is left over from a run that was killed."""


def is_temporary(path: Path, name: str | None = None) -> bool:
    """Tell whether a file is one that `write_atomically` has not renamed yet.

    Args:
        path: The file.
        name: What it would be renamed to; by default anything.
    """
    found = _TEMPORARY.fullmatch(path.name)
    return found is not None and name in (None, found["name"])


def remove_stale_temporaries(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove what killed runs left half written in a folder and all below it, and nothing of a run that goes on.

    Args:
        folder: The folder.
        names: Names of the files that were to be written; by default all.
    """
    oldest = time.time() - STALE_SECONDS
    for path in folder.rglob(".*.tmp"):
        if is_temporary(path) and (names is None or any(is_temporary(path, name) for name in names)):
            # Another run may remove it at the same moment.
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


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


def require_writable(folder: Path, option: str) -> None:
    """Check that files can be written in a folder, before the work whose results go there.

    Args:
        folder: The folder; it is made if it is not there.
        option: The option that names it.

    Raises:
        StoreError: If they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"{folder} cannot be written: {error.strerror or error}. Give another folder with {option}."
        ) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Wait for a file's lock and hold it; the system lets go of it when the process ends, however it ends.

    Args:
        path: The file; it is made if it is not there.

    Yields:
        The file, open for reading and writing.

    Raises:
        ConfigurationError: If the system has no such locks.
        UnreadableFileError: If the file cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        raise ConfigurationError(
            "This system has no file locks, by which several processes of pytest take turns. Leave -n out; --workers "
            "lets several processes share the work."
        ) from None
    with named_in_errors():
        file = path.open("a+", encoding="utf-8")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file
