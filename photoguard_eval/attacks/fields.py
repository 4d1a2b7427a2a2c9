"""The parameters of an attack, declared once: fields of its class, each with its type, default and range."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache, wraps
from typing import Annotated, Any, TypeVar, dataclass_transform, get_type_hints

from pydantic import Field as Range
from pydantic import TypeAdapter, ValidationError

from photoguard_eval.errors import ConfigurationError, PluginError

T = TypeVar("T")

PositiveInt = Annotated[int, Range(gt=0)]
PositiveFloat = Annotated[float, Range(gt=0)]
NonNegativeFloat = Annotated[float, Range(ge=0, allow_inf_nan=False)]

_EXPECTED = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}


@dataclass_transform(kw_only_default=True, eq_default=False)
def parameters(factory: type[T]) -> type[T]:
    """Give a class a constructor that takes its annotated attributes by name, and those of the classes it derives from.

    An attribute without an annotation, or of a `ClassVar`, is no parameter. What follows from parameters belongs into
    `__post_init__`, which calls `super().__post_init__()` first; that checks them. `dataclasses.replace` makes a copy
    with other values.

    Example::

        @parameters
        class CheckerboardAttack(Attack):
            name = "checkerboard"

            square: PositiveInt = 1

    Args:
        factory: A class that has no constructor of its own.

    Raises:
        PluginError: If it has one, or derives from a class with one that the new constructor would not call, or an
            annotation cannot be read.
    """
    owner = next((base for base in factory.__mro__ if inspect.isfunction(vars(base).get("__init__"))), None)
    if owner is not None and not hasattr(vars(owner)["__init__"], "declared"):
        raise PluginError(
            f"{factory.__qualname__} declares parameters, and {owner.__qualname__} has a constructor of its own, which "
            "would not be called. Take the parameters in a constructor instead, or leave that one out."
        )
    made = dataclass(kw_only=True, eq=False, repr=False)(factory)
    made.__init__ = _constructor(made)  # type: ignore[method-assign]
    return made


def check_parameters(instance: Any) -> None:
    """Convert the parameters of an object to their types and check their ranges.

    Args:
        instance: An object of a class with `parameters`.

    Raises:
        ConfigurationError: If a value does not fit.
        PluginError: If its class has a value for a parameter that no constructor takes as its default.
    """
    factory = type(instance)
    adapters = _adapters(factory)  # type: ignore[arg-type]
    for field in _given(factory):
        value = getattr(instance, field.name)
        if value is field.default and getattr(factory, field.name, field.default) is not field.default:
            raise PluginError(
                f"{factory.__qualname__} sets {field.name}, which its constructor does not see. Annotate it and "
                "decorate the class with @parameters, or give it to super().__init__() in a constructor."
            )
        try:
            setattr(instance, field.name, adapters[field.name].validate_python(value))
        except ValidationError as error:
            raise ConfigurationError(f"{field.name} is {value!r}; expected {_expected(error)}.") from error


def _expected(error: ValidationError) -> str:
    first, *_ = error.errors()
    words = _EXPECTED.get(first["type"])
    return words.format(**first["ctx"]) if words else first["msg"].removeprefix("Input should be ")


def _given(factory: type) -> list[Field[Any]]:
    return [field for field in fields(factory) if field.init]


def _constructor(made: type) -> Callable[..., None]:
    """Return a dataclass's constructor, with annotations that can be read, and an error for parameters of before."""
    generated: Callable[..., None] = vars(made)["__init__"]
    # Whoever reads these leaves the ranges to the constructor, whose errors name the value.
    types = _annotations(made, ranges=False)

    @wraps(generated)
    def constructor(self: Any, **values: Any) -> None:
        former: Mapping[str, str] = getattr(made, "former_arguments", {})
        for name in values:
            if name in former and name not in types:
                raise ConfigurationError(former[name])
        generated(self, **values)

    keywords = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=types[field.name],
        )
        for field in _given(made)
    ]
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    constructor.__annotations__ = {**types, "return": None}
    constructor.__signature__ = inspect.Signature([first, *keywords])  # type: ignore[attr-defined]
    constructor.declared = True  # type: ignore[attr-defined]
    return constructor


@cache
def _adapters(factory: type) -> Mapping[str, TypeAdapter[Any]]:
    return {name: TypeAdapter(hint) for name, hint in _annotations(factory, ranges=True).items()}


def _annotations(factory: type, *, ranges: bool) -> dict[str, Any]:
    """Return the type of each parameter, with its range or without, read where it was written."""
    found = {}
    for field in _given(factory):
        owner = next(base for base in factory.__mro__ if field.name in vars(base).get("__annotations__", {}))
        alone = type("Alone", (), {"__annotations__": {field.name: field.type}, "__module__": owner.__module__})
        try:
            found.update(get_type_hints(alone, include_extras=ranges))
        except Exception as error:
            raise PluginError(
                f"The annotation {field.type} of {owner.__qualname__}.{field.name} cannot be read ({error}). Import "
                "what it names when the program runs, and not for the type checker alone."
            ) from error
    return found
