"""Building a plug-in from its class and arguments, and recording what it was built with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from photoguard_eval.errors import ConfigurationError, PhotoguardError, PluginError, UnknownNameError, described
from photoguard_eval.files import canonical_json, sha256_of_file
from photoguard_eval.plugins.constructors import Argument, constructor_arguments
from photoguard_eval.plugins.exits import exits_refused
from photoguard_eval.plugins.file_reads import argument_inputs, data_files, declared_inputs, files_read
from photoguard_eval.plugins.fingerprints import fingerprint
from photoguard_eval.plugins.loading import READ_AT_IMPORT
from photoguard_eval.plugins.plugin import Plugin
from photoguard_eval.plugins.specs import written
from photoguard_eval.plugins.tracebacks import own_frames

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A class that can be built.

    Attributes:
        factory: The class.
        source: Where it came from, see `Plugin`.
        foreign: See `Plugin`.
    """

    factory: type[T]
    source: str
    foreign: bool = False

    @property
    def name(self) -> str:
        """The name that the class gives itself."""
        name: str = self.factory.name  # type: ignore[attr-defined]
        return name

    @property
    def axes(self) -> Collection[str]:
        """Arguments that tell rows apart besides the label."""
        axes: Collection[str] = getattr(self.factory, "axes", ())
        return axes


def build(
    kind: str,
    entry: Entry[T],
    chosen: Mapping[str, Any],
    defaults: Mapping[str, Any],
    declare: Callable[[T], Any] | None = None,
    labels: tuple[str, str] | None = None,
) -> Plugin[T]:
    """Build a plug-in.

    Args:
        kind: What it is, in the singular, for errors.
        entry: Its class.
        chosen: Arguments as text or values.
        defaults: Arguments to use where none are chosen, as far as the constructor takes them.
        declare: Returns what the plug-in declares.
        labels: `Plugin.label` and `Plugin.row_label`; by default its name and those of the chosen arguments that
            differ from what it takes without them.

    Raises:
        UnknownNameError: If no argument has one of the chosen names.
        ConfigurationError: If a value is refused, is missing or cannot be recorded.
        PluginError: If the constructor raises anything else.
    """
    known = constructor_arguments(entry.factory)
    former: Mapping[str, str] = getattr(entry.factory, "former_arguments", {})
    for key in chosen:
        if key not in known and key in former:
            raise ConfigurationError(former[key])
        if key not in known:
            raise UnknownNameError(f"argument of {kind} {entry.name!r}", key, known)
    owner = f"{kind} {entry.name!r}"
    by_default = {key: _convert(value, known[key], owner, key) for key, value in defaults.items() if key in known}
    given = {key: _convert(value, known[key], owner, key) for key, value in chosen.items()}
    missing = [key for key, argument in known.items() if argument.required and key not in {**by_default, **given}]
    if missing:
        raise ConfigurationError(
            f"{kind.capitalize()} {entry.name!r} needs {', '.join(missing)}; write {entry.name},{missing[0]}=…"
        )
    without = {key: by_default.get(key, argument.default) for key, argument in known.items()}
    if labels is None:
        changed = {key: value for key, value in given.items() if value != without[key]}
        kept = {key: value for key, value in changed.items() if key not in entry.axes}
        labels = written(entry.name, changed), written(entry.name, kept)
    label, row_label = labels
    arguments = {key: _jsonable(value) for key, value in {**without, **given}.items()}
    try:
        with exits_refused(), files_read() as read:
            instance = entry.factory(**{**by_default, **given})
        declared = declare(instance) if declare else None
    except (PhotoguardError, KeyboardInterrupt):
        raise
    except BaseException as error:
        message = f"{kind.capitalize()} {entry.name!r} could not be built: {described(error)}."
        raise PluginError(message).at(own_frames(error, entry.factory.__module__)) from error
    # Last, since a range that the class states says more of a value that is not finite.
    _require_recordable(kind, label, arguments)
    return Plugin(
        name=entry.name,
        label=label,
        row_label=row_label,
        arguments=arguments,
        inputs=_inputs_of(instance, {**without, **given}, read),
        source=entry.source,
        fingerprint=fingerprint(entry.factory),
        instance=instance,
        declared=declared,
        foreign=entry.foreign,
        left_out=tuple(key for key in defaults if key not in known),
    )


def _require_recordable(kind: str, label: str, arguments: Mapping[str, Any]) -> None:
    try:
        canonical_json([label, arguments])
    except ValueError as error:
        raise ConfigurationError(
            f"The {kind} {label!a} has a label or an argument that no result can record ({error}). Give "
            "finite numbers, and names that are UTF-8; rename the file or folder if it has another."
        ) from error


def _convert(value: Any, argument: Argument, owner: str, key: str) -> Any:
    if isinstance(value, str) and argument.annotation is not str:
        with contextlib.suppress(ValueError, ZeroDivisionError):
            value = float(Fraction(value)) if "/" in value else value
    try:
        adapter = TypeAdapter(argument.annotation, config=ConfigDict(arbitrary_types_allowed=True))
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(f"{key}={value!r} does not fit {owner}: {error.errors()[0]['msg']}.") from error


def _inputs_of(instance: Any, values: Mapping[str, Any], read: set[str]) -> dict[str, str]:
    declared = declared_inputs(instance)
    inputs = {**argument_inputs(values, folders=not declared), **declared}
    known = set(inputs.values())
    opened = data_files(read | READ_AT_IMPORT, type(instance))
    hashes = {f"content of {name}": sha256_of_file(path) for name, path in opened.items()}
    return {**{name: value for name, value in hashes.items() if value not in known}, **inputs}


def _jsonable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
