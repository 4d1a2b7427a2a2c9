"""What arguments a class takes: those of its constructor, and those that it hands on to the classes it derives from."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Argument:
    """An argument of a constructor.

    Attributes:
        default: Its default; `inspect.Parameter.empty` for one that must be given.
        annotation: What a value is converted to: its annotation, or the type of its default where it has none.
    """

    default: Any
    annotation: Any

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty


def constructor_arguments(factory: type) -> dict[str, Argument]:
    """Return the arguments that a class can be built with, by name.

    A constructor with `**options` takes besides what the next constructor takes, if it hands them on as
    `super().__init__(…, **options)`. What that call names itself is fixed, and no argument.

    Args:
        factory: A class.
    """
    arguments: dict[str, Argument] = {}
    fixed: set[str] = set()
    for constructor in _constructors(factory):
        parameters = _named(constructor)
        hints = _hints(constructor, parameters)
        for name, parameter in parameters.items():
            if name not in fixed:
                arguments.setdefault(name, Argument(parameter.default, hints[name]))
        handed_on = _handed_on(constructor)
        if handed_on is None:
            break
        fixed |= handed_on | set(parameters)
    return arguments


def _constructors(factory: type) -> Iterator[Callable[..., Any]]:
    for base in factory.__mro__:
        constructor = vars(base).get("__init__")
        if inspect.isfunction(constructor):
            yield constructor


def _named(constructor: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    _, *parameters = inspect.signature(constructor).parameters.values()
    unnamed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {parameter.name: parameter for parameter in parameters if parameter.kind not in unnamed}


def _handed_on(constructor: Callable[..., Any]) -> set[str] | None:
    """Return what the call that hands any other argument on names itself; None if there is no such call."""
    parameters = inspect.signature(constructor).parameters.values()
    others = [parameter.name for parameter in parameters if parameter.kind is parameter.VAR_KEYWORD]
    if not others:
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(constructor)))
    except (OSError, TypeError, SyntaxError):
        return None
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "__init__":
            unpacked = [word.value for word in call.keywords if word.arg is None]
            if any(isinstance(value, ast.Name) and value.id == others[0] for value in unpacked):
                return {word.arg for word in call.keywords if word.arg is not None}
    return None


def _hints(constructor: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    try:
        annotated = inspect.get_annotations(constructor, eval_str=True)
    except Exception:  # An annotation for type checkers alone may raise anything when it is evaluated.
        annotated = {}
    return {key: annotated.get(key, _type_of_default(parameter.default)) for key, parameter in parameters.items()}


def _type_of_default(default: Any) -> Any:
    if isinstance(default, bool | float | str):
        return type(default)
    # Where a whole number is the default, a fraction may still be meant: strength=1.
    return int | float if isinstance(default, int) else Any
