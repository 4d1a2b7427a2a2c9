"""What an object was built with, read back from it: each argument under its own name, as scikit-learn has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from photoguard_eval.errors import PluginError
from photoguard_eval.plugins.constructors import constructor_arguments
from photoguard_eval.plugins.specs import is_writable

COMPARED = (bool, int, float, str, type(None))
"""Attributes that are compared with those of an object that is built anew."""


def arguments_of(instance: Any, kind: str) -> dict[str, Any]:
    """Return the arguments of an object's constructor, as the object keeps them.

    Args:
        instance: A plug-in; if it has a method `get_params`, that is asked, else its attributes are read.
        kind: What it is, for errors.

    Raises:
        PluginError: If it does not keep one under its name, or keeps one that has no text.
    """
    name, known = type(instance).name, constructor_arguments(type(instance))
    asked = getattr(instance, "get_params", None)
    kept: Mapping[str, Any] = asked() if callable(asked) else {}
    arguments = {}
    for key, argument in known.items():
        try:
            value = kept[key] if key in kept else getattr(instance, key)
        except AttributeError:
            raise PluginError(
                f"The {kind} {name!r} does not keep its argument {key}, so that nothing says what it was built with. "
                f"Keep it under its name, self.{key} = {key}, or give the {kind} as a text, {name},{key}=…"
            ) from None
        if value is not argument.default and not is_writable(value):
            raise PluginError(
                f"The {kind} {name!r} has {key} = {value!r:.80}, which has no text that a label or a key could hold. "
                "Expected texts, numbers, paths, or rows of these; put large data in a file and give its path."
            )
        arguments[key] = value
    return arguments


def require_same(instance: Any, anew: Any, kind: str) -> None:
    """Check that an object is such as its arguments make it, so that these tell all of it.

    Args:
        instance: The object.
        anew: One that was built from the arguments of the first.
        kind: What they are, for errors.

    Raises:
        PluginError: If an argument or a plain attribute differs.
    """
    name = type(instance).name
    was, now = arguments_of(instance, kind), arguments_of(anew, kind)
    for key, value in was.items():
        if _differ(value, now[key]):
            raise PluginError(
                f"The {kind} {name!r} keeps its argument {key} changed: built with {value!r}, it has {now[key]!r}. "
                f"Keep it as it was given, self.{key} = {key}, and what is made of it under another name."
            )
    for key, value in vars(instance).items():
        made = vars(anew).get(key)
        if isinstance(value, COMPARED) and isinstance(made, COMPARED) and _differ(value, made):
            raise PluginError(
                f"The {kind} {name!r} has {key} = {value!r}, and one that is built with the same arguments has "
                f"{made!r}. Make {key} an argument of the constructor, or give an object that was not changed."
            )


def _differ(value: Any, other: Any) -> bool:
    # A whole number and a text may have become a fraction and a path.
    return value != other and str(value) != str(other)
