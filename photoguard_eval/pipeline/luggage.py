"""What an attack or a purifier takes along to another machine: the files that it is made of and given."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from photoguard_eval.diffusion.meter import MEBIBYTE
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.files import write_atomically
from photoguard_eval.pipeline.session import PluginSource, Session
from photoguard_eval.plugins.source_code import LIBRARY_FOLDERS, source_files
from photoguard_eval.plugins.specs import SEPARATORS, words
from photoguard_eval.resources import PACKAGE

LARGEST_MIB = 256
"""More than code and small networks take, and less than a cluster is slow to hand on."""


def files_of(spec: str, factory: type, read: Collection[str]) -> tuple[str, ...]:
    """Return the files that an attack is made of and given, installed packages apart.

    Args:
        spec: By which it was asked for; files and folders that it names count with all that was read of them.
        factory: Its class.
        read: Paths of what was opened when it was imported and built.

    Returns:
        Absolute paths, sorted.
    """
    code = {path for path in source_files(factory) if not _is_installed(path)}
    named = {path for word in words(spec) if (path := _path_of(word)) is not None}
    roots = {*(path.parent for path in code), *(path.parent if path.suffix == ".py" else path for path in named)}
    opened = {_source_of(Path(name)) for name in read}
    found = code | {path for path in opened if any(path == root or root in path.parents for root in roots)}
    return tuple(sorted(str(path) for path in found if path.is_file() and not _is_installed(path)))


def packed(session: Session) -> Session:
    """Return a session whose plug-ins hold the content of their files, to be sent to another machine.

    Args:
        session: Of this machine.

    Raises:
        ConfigurationError: If the files are too large.
    """
    return replace(
        session,
        attacks={label: _packed(source, f"attack {label!r}") for label, source in session.attacks.items()},
        purifiers={label: _packed(source, f"purifier {label!r}") for label, source in session.purifiers.items()},
    )


def _packed(source: PluginSource, called: str) -> PluginSource:
    size = sum(Path(file).stat().st_size for file in source.files) / MEBIBYTE
    if size > LARGEST_MIB:
        raise ConfigurationError(
            f"The files of the {called} have {size:,.0f} MiB; {LARGEST_MIB} can be sent to a cluster. Put the large "
            "ones where every machine finds them, and have it read them when it is used."
        )
    return replace(source, contents={file: Path(file).read_bytes() for file in source.files})


def unpacked(session: Session, folder: Path) -> Session:
    """Write the files of a session's plug-ins, and return a session that names them where they are.

    Args:
        session: From `packed`.
        folder: Where they go.
    """

    def all_of(sources: Mapping[str, PluginSource], kind: str) -> dict[str, PluginSource]:
        return {
            label: _unpacked(source, folder / f"{kind}-{number}") if source.contents else source
            for number, (label, source) in enumerate(sources.items())
        }

    return replace(
        session,
        attacks=all_of(session.attacks, "attack"),
        purifiers=all_of(session.purifiers, "purifier"),
    )


def _unpacked(source: PluginSource, folder: Path) -> PluginSource:
    for file, content in source.contents.items():
        place = _moved(file, folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, content)
    known = {parent for file in source.contents for parent in (Path(file), *Path(file).parents)}

    def renamed(word: str) -> str:
        path, attribute = _split(word)
        absolute = Path(os.path.normpath(Path(source.folder, path)))
        return f"{_moved(str(absolute), folder)}{attribute}" if path and absolute in known else word

    spec = "".join(word if SEPARATORS.fullmatch(word) else renamed(word) for word in SEPARATORS.split(source.spec))
    search = tuple(str(_moved(place, folder)) for place in source.search)
    return replace(source, spec=spec, search=search, contents={}, files=())


def search_path(files: Collection[str]) -> tuple[str, ...]:
    """Return those folders on Python's search path below which files lie, so that their modules are found elsewhere.

    Args:
        files: Absolute paths.
    """
    known = {parent for file in files for parent in Path(file).parents}
    return tuple(dict.fromkeys(str(place) for place in _search_folders() if place in known))


def find_modules(source: PluginSource) -> None:
    """Have Python find the modules of an attack where its files are, if it does not already.

    Args:
        source: Of the attack.
    """
    known = set(_search_folders())
    sys.path[:0] = [place for place in source.search if Path(place) not in known]


def _search_folders() -> list[Path]:
    return [Path(place or os.getcwd()).resolve() for place in sys.path]  # noqa: PTH109 (as Python itself reads it)


def _moved(file: str, folder: Path) -> Path:
    path = Path(file)
    return folder / path.relative_to(path.anchor)


def _split(word: str) -> tuple[str, str]:
    """Take a file's path apart from the attribute that follows it."""
    path, colon, attribute = word.rpartition(":") if ".py:" in word else (word, "", "")
    return path, f"{colon}{attribute}"


def _path_of(word: str) -> Path | None:
    path = Path(_split(word)[0])
    # A word may be too long for a path.
    try:
        return path.resolve() if path.exists() else None
    except (OSError, ValueError):
        return None


def _source_of(path: Path) -> Path:
    if path.suffix == ".pyc":
        try:
            path = Path(importlib.util.source_from_cache(str(path)))
        except ValueError:
            return path.resolve()
    return path.resolve()


def _is_installed(path: Path) -> bool:
    standard = Path(os.__file__).resolve().parent
    return bool(LIBRARY_FOLDERS & set(path.parts)) or any(map(path.is_relative_to, (PACKAGE, standard)))
