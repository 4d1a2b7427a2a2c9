"""What a class is written in, as one hash: a changed plug-in is another plug-in."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from photoguard_eval.code import sha256_of_code
from photoguard_eval.files import sha256_of_json
from photoguard_eval.plugins.source_code import is_of_file, project_files, source_files

SIMPLE = (bool, int, float, complex, str, bytes, type(None))


def fingerprint(factory: type) -> str:
    """Return the SHA-256 of what a class is written in.

    Of a class in a file these are the files that `source_files` names, without comments and docstrings. A class that
    was typed in a notebook or at a prompt has none. There it is the source by `inspect.getsource`, which notebooks and
    recent prompts keep, else the compiled code, in which comments do not count and line numbers neither. Functions,
    classes and plain values that it names from there count as well, and the files of the project's modules; other
    objects, such as tensors, do not.

    Args:
        factory: A class.

    Returns:
        64 hexadecimal digits; "" for a class of which nothing can be read.
    """
    typed = _Typed()
    for base in factory.__mro__:
        typed.take(base)
    files = sorted(map(sha256_of_code, source_files(factory) | typed.files))
    if typed.texts:
        return sha256_of_json([files, sorted(typed.texts)])
    return sha256_of_json(files) if files else ""


class _Typed:
    """Collects what was typed, from a class on, along the names that its code uses.

    Attributes:
        texts: Sources, code and plain values.
        files: Of the modules of the project that are used.
    """

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.files: set[Path] = set()
        self._seen: set[int] = set()

    def take(self, part: Any) -> None:
        """Take a class or function that was typed, and what it uses; everything else is left out."""
        if id(part) in self._seen or is_of_file(part) or _is_of_library(part):
            return
        self._seen.add(id(part))
        if isinstance(part, FunctionType):
            self.texts.add(_source(part) or _text_of_code(part.__code__))
            self._take_used(part)
        elif isinstance(part, type):
            for base in part.__mro__:
                self.take(base)
            self._take_content(part)

    def _take_content(self, owner: type) -> None:
        for name, value in vars(owner).items():
            functions = list(_functions_in(value))
            for function in functions:
                self.take(function)
            if not functions and not name.startswith("__"):
                self._take_value(f"{owner.__qualname__}.{name}", value)

    def _take_used(self, function: FunctionType) -> None:
        known: Mapping[str, Any] = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        for place, value in enumerate(defaults):
            self._take_value(f"{function.__qualname__}({place})", value)
        for name in sorted(_names(function.__code__)):
            if name in known:
                self._take_value(name, known[name])

    def _take_value(self, name: str, value: Any) -> None:
        if isinstance(value, FunctionType | type):
            self.take(value)
        if isinstance(value, FunctionType | type | ModuleType):
            self.files |= project_files(value)
        elif _is_plain(value):
            self.texts.add(f"{name} = {value!r}")


def _functions_in(value: Any) -> Iterator[FunctionType]:
    """Return the functions behind what a class holds: a method, a property's, that of a decorator."""
    parts = (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset", "func", "__wrapped__")))
    yield from (part for part in parts if isinstance(part, FunctionType))


def _is_of_library(part: Any) -> bool:
    package = str(getattr(part, "__module__", "")).partition(".")[0]
    return package in sys.stdlib_module_names - {"__main__"}


def _is_plain(value: Any) -> bool:
    return isinstance(value, SIMPLE) or (isinstance(value, list | tuple) and all(map(_is_plain, value)))


def _source(function: FunctionType) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def _names(code: CodeType) -> set[str]:
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names) | set(code.co_freevars) | {name for names in inner for name in names}


def _text_of_code(code: CodeType) -> str:
    constants = [_text_of_code(part) if isinstance(part, CodeType) else _text_of(part) for part in code.co_consts]
    return repr([code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants])


def _text_of(constant: Any) -> str:
    # The order of a set differs from process to process.
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)
