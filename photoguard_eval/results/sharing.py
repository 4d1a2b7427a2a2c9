"""A result as it is shared: without the pictures, which stay in the store, and without paths of the user's machine."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from photoguard_eval.results.schema import EvaluationResult, without_pictures

_IN_TEXT = re.compile(r"""(?<![\w./:~\\-])~?/(?!/)[^\s,;:'"()=]+ | (?<!\w)[A-Za-z]:\\[^\s,;'"()=]+""", re.VERBOSE)
"""A path from the root, a home folder or a drive, as far as a space."""

_IN_WORD = re.compile(_IN_TEXT.pattern.replace(r"[^\s,", "[^,"), re.VERBOSE)
"""The same in a word of a command, which may hold spaces."""

Json = Any


def shareable(result: EvaluationResult) -> EvaluationResult:
    """Leave out what is of the user's machine alone: the keys of pictures, and the folders of absolute paths.

    A path becomes its last name; two paths of the same name are told apart by a number, so that rows stay apart.
    """
    data = without_pictures(result).model_dump(mode="json")
    # Prompts are no paths, whatever they hold.
    cases, command = data.pop("cases"), data["provenance"].pop("command")
    names = _Names()
    # An argument that is a path may hold spaces, and then can be told from other words only by being known.
    known = sorted(_given_paths(result), key=len, reverse=True)
    shared = _rewritten(data, known, names)
    shared["provenance"]["command"] = _rewritten_command(command, known, names)
    return EvaluationResult.model_validate({**shared, "cases": cases})


class _Names:
    """Last names of paths, each for one path."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def of(self, path: str) -> str:
        if path not in self._given:
            name = (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).name or path
            taken = set(self._given.values())
            choices = (name if number == 1 else f"{name}-{number}" for number in range(1, len(taken) + 2))
            self._given[path] = next(choice for choice in choices if choice not in taken)
        return self._given[path]


def _given_paths(result: EvaluationResult) -> set[str]:
    """Return the arguments of attacks that are paths from the root, a home folder or a drive."""
    arguments = (value for row in result.attack_rows if row.attack for value in row.attack.arguments.values())
    return {value for value in arguments if isinstance(value, str) and re.match(r"~?/[^/]|[A-Za-z]:\\", value)}


def _rewritten(value: Json, known: list[str], names: _Names) -> Json:
    if isinstance(value, dict):
        return {key: _rewritten(entry, known, names) for key, entry in value.items()}
    if isinstance(value, list):
        return [_rewritten(entry, known, names) for entry in value]
    return _renamed(value, known, names, _IN_TEXT) if isinstance(value, str) else value


def _rewritten_command(command: str, known: list[str], names: _Names) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        return _renamed(command, known, names, _IN_TEXT)
    return shlex.join(_renamed(word, known, names, _IN_WORD) for word in words)


def _renamed(text: str, known: list[str], names: _Names, path: re.Pattern[str]) -> str:
    for whole in known:
        text = re.sub(re.escape(whole) + r"(?![\w/])", lambda match: names.of(match[0]), text)
    return path.sub(lambda match: names.of(match[0]), text)
