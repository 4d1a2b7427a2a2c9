"""Which files a plug-in reads: those that it is given as arguments, those that it names, and those that it opens.

A file that decides what a plug-in does is part of what it is. Its content goes into the keys of all that it makes, so
that a changed file is a changed plug-in. What is opened while a plug-in is imported or built counts by itself; what it
opens later cannot be known beforehand, so the plug-in has to name it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from photoguard_eval.errors import PluginError
from photoguard_eval.files import sha256_of_file, sha256_of_json
from photoguard_eval.plugins.source_code import LIBRARY_FOLDERS, source_files

CODE_SUFFIXES = frozenset({".py", ".pyc", ".pyi", ".so", ".pyd", ".dll", ".dylib", ".pth"})
"""What code is read from, which counts by itself."""

_READS: dict[int, set[str]] = {}
"""What was opened in each `files_read` that is under way, by its identity: sets of the same files are equal."""


def argument_inputs(values: Mapping[str, Any], folders: bool) -> dict[str, str]:
    """Return a hash of the content of each file among the arguments of a plug-in, by what it is.

    Args:
        values: Arguments by name. A path counts, and a text that names a file.
        folders: Whether the files of a folder count too.
    """
    inputs = {}
    for name, value in values.items():
        several = value if isinstance(value, list | tuple) else [value]
        for number, item in enumerate(several):
            what = f"content of {name}" if several is not value else f"content of {name} {number}"
            # A text may be anything, and too long for a path.
            with contextlib.suppress(OSError, ValueError):
                if isinstance(item, Path | str) and Path(item).is_file():
                    inputs[what] = sha256_of_file(Path(item))
                elif folders and isinstance(item, Path) and item.is_dir():
                    inputs[what] = _sha256_of_folder(item)
    return inputs


def declared_inputs(plugin: Any) -> dict[str, str]:
    """Return what a plug-in names in its attribute `inputs`: paths are hashed, hashes are taken as they are.

    Raises:
        PluginError: If it is no mapping of names to paths or hashes, or a file is missing.
    """
    declared = getattr(plugin, "inputs", {})
    if not isinstance(declared, Mapping):
        raise PluginError(
            f"inputs of {plugin.name!r} is {declared!r}; expected a mapping of names to paths, "
            'such as {"levels": Path(__file__).with_name("levels.txt")}.'
        )
    inputs = {}
    for name, value in declared.items():
        if isinstance(value, Path) and not value.exists():
            raise PluginError(f"inputs of {plugin.name!r} names {value}, which is not there. Correct the path.")
        hashed = value
        if isinstance(value, Path):
            hashed = _sha256_of_folder(value) if value.is_dir() else sha256_of_file(value)
        inputs[str(name)] = str(hashed)
    return inputs


@contextlib.contextmanager
def files_read() -> Iterator[set[str]]:
    """Collect the paths of the files that Python opens to read meanwhile, in this and all other threads."""
    _listen()
    read: set[str] = set()
    _READS[id(read)] = read
    try:
        yield read
    finally:
        del _READS[id(read)]


def data_files(read: set[str], factory: type) -> dict[str, Path]:
    """Choose among files that were read those that belong to a plug-in: in the folder of its class, and no code.

    Args:
        read: Paths.
        factory: The class of the plug-in.

    Returns:
        The files that are there, by their path within the folder.
    """
    folders = {path.parent for path in source_files(factory) if not LIBRARY_FOLDERS & set(path.parent.parts)}
    found = {}
    for name in sorted(read):
        path = Path(name).resolve()
        for folder in folders:
            if path.is_relative_to(folder) and path.suffix not in CODE_SUFFIXES and path.is_file():
                inside = path.relative_to(folder)
                if not LIBRARY_FOLDERS & set(inside.parts) and not any(part.startswith(".") for part in inside.parts):
                    found[inside.as_posix()] = path
    return found


def _sha256_of_folder(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256_of_json([[path.relative_to(folder).as_posix(), sha256_of_file(path)] for path in files])


@cache
def _listen() -> None:
    """Have Python tell of every file that it opens; a hook of this kind stays until the process ends."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _READS or event != "open":
        return
    path, mode, flags = arguments
    writes = any(sign in mode for sign in "wax+") if isinstance(mode, str) else bool(flags & (os.O_WRONLY | os.O_RDWR))
    if isinstance(path, str | os.PathLike) and not writes:
        for read in list(_READS.values()):
            read.add(os.fspath(path))
