"""What a class must be to plug in: derived from a base class, named, and with methods that take what they are given.

All of this is known when a class registers, before a model is loaded. What methods take is compared by names, as the
first class of this package that defines a method declares it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any

from photoguard_eval.errors import PluginError
from photoguard_eval.plugins.source_code import PACKAGE

COLLECTING = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

NOT_IN_A_NAME = set(",:/ ")


def require_plugin_class(factory: Any, kind: str, base: type, called: str) -> None:
    """Check that something is a class that can plug in.

    Args:
        factory: Anything.
        kind: What the plug-ins are, in the singular.
        base: The class that all of them derive from.
        called: How the user called it, for errors.

    Raises:
        PluginError: If it is no class, of another kind, without a name, lacks a method, or has one that takes other
            arguments than it is given.
    """
    if not (inspect.isclass(factory) and issubclass(factory, base)):
        instance = " Register its class." if isinstance(factory, base) else ""
        raise PluginError(
            f"{called} is {factory!r}, not a subclass of {base.__name__}.{instance} "
            f"Derive the {kind} from photoguard_eval.{base.__name__}."
        )
    own_name = getattr(factory, "name", None)
    if not isinstance(own_name, str) or not own_name or set(own_name) & NOT_IN_A_NAME:
        raise PluginError(
            f"{called} has name = {own_name!r}; {kind}s need a class attribute `name`, a string without commas, "
            "colons, slashes and spaces."
        )
    for name, declared in _declared_methods(factory, base).items():
        _require_method(factory, name, declared, f"The {kind} {own_name!r} ({called})")


def _declared_methods(factory: type, base: type) -> dict[str, Callable[..., Any]]:
    """Return the methods that a class may or must define, each as the first of this package's classes has it."""
    methods: dict[str, Callable[..., Any]] = {}
    for owner in reversed(factory.__mro__):
        if issubclass(owner, base) and (owner is base or owner.__module__.partition(".")[0] == PACKAGE):
            for name, value in vars(owner).items():
                is_private = name.startswith("_") and not getattr(value, "__isabstractmethod__", False)
                if inspect.isfunction(value) and not is_private:
                    methods.setdefault(name, value)
    return methods


def _require_method(factory: type, name: str, declared: Callable[..., Any], subject: str) -> None:
    own = inspect.getattr_static(factory, name)
    expected = _without_self(declared)
    if name in getattr(factory, "__abstractmethods__", ()):
        raise PluginError(f"{subject} lacks a method. Define {name}{_shown(expected)}.")
    if own is declared:
        return
    if not callable(own) and not isinstance(own, staticmethod | classmethod):
        raise PluginError(f"{subject} has {name} = {own!r}. Expected a method {name}{_shown(expected)}.")
    if inspect.isfunction(own):
        parameters = _without_self(own)
    elif isinstance(own, classmethod):
        parameters = _without_self(own.__func__)
    elif isinstance(own, staticmethod):
        parameters = list(inspect.signature(own.__func__).parameters.values())
    else:  # What another object takes, only its call tells.
        return
    if not _takes(parameters, expected):
        raise PluginError(
            f"{subject} has {name}{_shown(parameters)}, and is called as {name}{_shown(expected)}. Take these "
            "arguments by these names and in this order; others need defaults."
        )


def _without_self(method: Callable[..., Any]) -> list[Parameter]:
    first, *others = inspect.signature(method).parameters.values()
    return [first, *others] if first.kind is Parameter.VAR_POSITIONAL else others


def _takes(own: Sequence[Parameter], expected: Sequence[Parameter]) -> bool:
    """Tell whether a call with the expected arguments reaches the own ones of the same names."""
    names = [parameter.name for parameter in expected]
    required = [parameter.name for parameter in expected if parameter.default is Parameter.empty]
    by_name = {name: name for name in names[len(required) :]}
    return _binds(own, required) and (_binds(own, names) or _binds(own, required, **by_name))


def _binds(own: Sequence[Parameter], given: Sequence[str], **by_name: str) -> bool:
    try:
        bound = Signature(own).bind(*given, **by_name)
    except TypeError:
        return False
    kinds = {parameter.name: parameter.kind for parameter in own}
    return all(name == value for name, value in bound.arguments.items() if kinds[name] not in COLLECTING)


def _shown(parameters: Sequence[Parameter]) -> str:
    return str(Signature([parameter.replace(annotation=Parameter.empty) for parameter in parameters]))
