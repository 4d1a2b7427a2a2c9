"""The source files that decide what a class does: its own, and those of the same project that they import."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

PACKAGE = __name__.partition(".")[0]
"""This package, whose other files are part of every key that they bear on."""

LIBRARY_FOLDERS = {"site-packages", "dist-packages"}
"""Where installed packages lie, unless they are installed to be edited."""


def source_files(factory: type) -> frozenset[Path]:
    """Return the files that a class and those that it derives from are written in, and what these import.

    Imports are read from the source, also those within functions, and followed where they lead to the project of the
    class: its own top-level package, or a module that is not installed. Libraries and this package are not followed.

    Args:
        factory: A class.

    Returns:
        Paths; none if the class has no file, as one that was typed at a prompt.
    """
    if _file_of(factory) is None:
        return frozenset()
    own = _top_level(factory.__module__)
    found: set[Path] = set()
    for base in factory.__mro__:
        path = _file_of(base)
        if path is None:
            continue
        if _is_of_project(_top_level(base.__module__), path, own):
            _follow(path, own, found)
        else:
            found.add(path)
    return frozenset(found)


def project_files(part: type | FunctionType | ModuleType) -> frozenset[Path]:
    """Return the files of a part of the project of whoever uses it, and what these import; none of a library's.

    Args:
        part: A class, a function or a module.
    """
    path, own = _file_of(part), _top_level(_module_of(part))
    found: set[Path] = set()
    if path is not None and _is_of_project(own, path, own) and not LIBRARY_FOLDERS & set(path.parts):
        _follow(path, own, found)
    return frozenset(found)


def is_of_this_package(factory: type) -> bool:
    """Tell whether a class is of this package, and not of others."""
    return _top_level(factory.__module__) == PACKAGE


def is_of_file(part: type | FunctionType | ModuleType) -> bool:
    """Tell whether a class, a function or a module is written in a file, rather than typed in a notebook."""
    return _file_of(part) is not None


def _follow(path: Path, own: str, found: set[Path]) -> None:
    if path in found:
        return
    found.add(path)
    for imported in _imports(path, own):
        _follow(imported, own, found)


def _imports(path: Path, own: str) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:  # A helper that is imported late, if at all; its content counts all the same.
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _absolute(alias.name.split("."), own)
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            for alias in node.names:
                # What is taken from a package may be one of its modules.
                if node.level:
                    yield from _along(path.parents[node.level - 1], [*module, alias.name])
                else:
                    yield from _absolute([*module, alias.name], own)


def _absolute(parts: list[str], own: str) -> Iterator[Path]:
    package, *rest = parts
    if package in sys.stdlib_module_names:
        return
    try:
        specification = importlib.util.find_spec(package)  # Of a top-level name, which imports nothing.
    except (ImportError, ValueError):
        return
    if specification is None:
        return
    places = [Path(folder) for folder in specification.submodule_search_locations or ()]
    if not places and specification.has_location and specification.origin:
        places = [Path(specification.origin).with_suffix("")]
    for place in places:
        if _is_of_project(package, place, own):
            yield from _along(place, rest)


def _along(place: Path, parts: list[str]) -> Iterator[Path]:
    """Find the files that an import runs: those of a package or module, and of the parts of the dotted name below."""
    for part in ("", *parts):
        place = place / part
        for file in (place / "__init__.py", place.parent / f"{place.name}.py"):
            if file.is_file():
                yield file.resolve()


def _is_of_project(package: str, path: Path, own: str) -> bool:
    return package != PACKAGE and (package == own or not LIBRARY_FOLDERS & set(path.parts))


def _top_level(module: str) -> str:
    return module.partition(".")[0]


def _module_of(part: type | FunctionType | ModuleType) -> str:
    return part.__name__ if isinstance(part, ModuleType) else str(part.__module__)


def _file_of(part: type | FunctionType | ModuleType) -> Path | None:
    """Return the file of a part of code, or None if it is of the standard library, of C or typed at a prompt."""
    if _top_level(_module_of(part)) in sys.stdlib_module_names - {"__main__"}:
        return None
    try:
        path = inspect.getsourcefile(part)
    except (TypeError, OSError):
        return None
    return Path(path).resolve() if path and Path(path).is_file() else None
