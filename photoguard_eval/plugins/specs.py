"""How a plug-in is named in one line: a name and arguments of its constructor, `encoder,target=zero,steps=50`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photoguard_eval.errors import ConfigurationError

SEPARATORS = re.compile(r"([,=+();])")
"""What stands between the words of a spec, one within another included."""

PLAIN = (str, int, float, bool, Path, type(None))


@dataclass(frozen=True)
class Spec:
    """A spec, taken apart.

    Attributes:
        name: What comes first.
        pairs: The arguments as they were written, `steps=50`.
        arguments: The same by name, as text.
    """

    name: str
    pairs: tuple[str, ...]
    arguments: dict[str, str]


def parse(text: str) -> Spec:
    """Take a spec apart.

    Args:
        text: A name, and arguments after commas.

    Raises:
        ConfigurationError: If an argument has no name or value, or is given twice.
    """
    name, *pairs = [part.strip() for part in text.split(",")]
    arguments: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"{pair!r} in {text!r} is no argument; write name=value, separated by commas.")
        if key in arguments:
            raise ConfigurationError(f"{key!r} is given twice in {text!r}.")
        arguments[key.strip()] = value.strip()
    return Spec(name, tuple(pairs), arguments)


def words(text: str) -> list[str]:
    """Return the words of a spec and of those within its arguments: names and values.

    Args:
        text: A spec; it need not be a sound one.
    """
    return [word.strip() for word in SEPARATORS.split(text) if word.strip() and not SEPARATORS.fullmatch(word)]


def written(name: str, arguments: Mapping[str, Any]) -> str:
    """Write a spec.

    Args:
        name: What comes first.
        arguments: Values that `is_writable` accepts, by name.
    """
    return ",".join([name, *(f"{key}={_text(value)}" for key, value in arguments.items())])


def is_writable(value: Any) -> bool:
    """Tell whether a value has a text that says all of it: texts, numbers, paths and frozen data, and rows of these."""
    if isinstance(value, list | tuple):
        return all(map(is_writable, value))
    form = getattr(type(value), "__dataclass_params__", None)
    return isinstance(value, PLAIN) or (form is not None and bool(form.frozen))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
