"""One registry for everything that plugs in: attacks, editors, metrics, purifiers.

A plug-in is named on the command line by a *spec*: a name, followed by arguments of its constructor,
`encoder,target=zero,steps=50`. The name is one of

* a registered name (`encoder`), of this package or of an installed one through its entry point,
* `module:attribute` of an importable module,
* `path/to/file.py:attribute` of a file,
* whatever a registry accepts besides, such as a folder of finished images for attacks.

A class may have a dictionary `presets` of named sets of arguments. `mist,preset=published` takes one of them; what the
spec gives besides goes before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from photoguard_eval.errors import (
    ConfigurationError,
    DuplicateNameError,
    PhotoguardError,
    PluginError,
    UnknownNameError,
    described,
)
from photoguard_eval.files import canonical_json, sha256_of_file, sha256_of_json
from photoguard_eval.plugins.constructors import constructor_arguments
from photoguard_eval.plugins.exits import exits_refused
from photoguard_eval.plugins.file_reads import argument_inputs, data_files, declared_inputs, files_read
from photoguard_eval.plugins.source_code import PACKAGE, source_files
from photoguard_eval.plugins.tracebacks import own_frames

T = TypeVar("T")

_READ_AT_IMPORT: set[str] = set()
"""What was opened while modules of plug-ins were imported: a module is imported once, and used often."""


@dataclass(frozen=True)
class Plugin(Generic[T]):
    """A configured plug-in and all that its provenance needs.

    Attributes:
        name: The name the class gives itself.
        label: Its name and the arguments that the spec gave: the plug-in's name on the board.
        arguments: Every argument of the constructor, defaults included, as JSON values.
        inputs: Hashes of the files that it reads, by what they are: arguments that are files, those that its attribute
            `inputs` names, and those of its folder that it opened when it was imported or built.
        source: Where it came from: "photoguard_eval", "<distribution> <version>", a module or a file.
        fingerprint: SHA-256 of the source files of its class and the classes that it derives from, and of the modules
            of the same project that they import; see `source_files`.
        instance: The object itself.
        declared: What it declared when it was built, which later changes of the object do not change: the threat
            model of an attack; None for plug-ins that declare nothing.
        foreign: Whether it is code of others that any process can load by its name: of a file, a module or an installed
            package. What was registered while the program ran is not.
        left_out: Defaults that were meant for it and that its constructor does not take, such as a preset's.
    """

    name: str
    label: str
    arguments: dict[str, Any]
    inputs: dict[str, str]
    source: str
    fingerprint: str
    instance: T
    declared: Any = None
    foreign: bool = False
    left_out: tuple[str, ...] = ()

    def undeclared(self, read: set[str]) -> list[str]:
        """Say which of the files that were read while it worked decide what it does, and are not in its inputs.

        Args:
            read: Paths.

        Returns:
            A warning for each.
        """
        known = set(self.inputs.values())
        files = data_files(read, type(self.instance))
        return [
            f"{self.label} reads {name}, which does not count in its results: a changed file would go unnoticed. Name "
            "it in `inputs` of the class."
            for name, path in files.items()
            if sha256_of_file(path) not in known
        ]

    @property
    def runs_foreign_code(self) -> bool:
        """Whether it is foreign, or made of plug-ins of which one is."""
        parts: tuple[Plugin[Any], ...] = getattr(self.instance, "parts", ())
        return self.foreign or any(part.runs_foreign_code for part in parts)


@dataclass(frozen=True)
class _Entry(Generic[T]):
    factory: type[T]
    source: str
    foreign: bool = False


class Registry(Generic[T]):
    """Plug-ins of one kind by name."""

    def __init__(
        self,
        kind: str,
        base: type[T],
        entry_point_group: str,
        fallback: Callable[[str], tuple[str, dict[str, Any]] | None] | None = None,
        hint: str = "",
        declare: Callable[[T], Any] | None = None,
    ) -> None:
        """Make an empty registry.

        Args:
            kind: What the plug-ins are, in the singular, for messages.
            base: The class that all of them derive from.
            entry_point_group: The group in which installed packages name theirs.
            fallback: Given a spec's name that nothing else matched, returns the name of a registered plug-in and
                arguments for it, or None.
            hint: What the fallback accepts, as a sentence for the error of an unknown name.
            declare: Returns what a plug-in declares, of a plug-in that was just built; see `Plugin`.
        """
        self.kind = kind
        self.base = base
        self.entry_point_group = entry_point_group
        self._fallback = fallback
        self._declare = declare
        self._hint = f"Also accepted: module:attribute and path/to/file.py:attribute{', ' if hint else '.'}{hint}"
        self._entries: dict[str, _Entry[T]] = {}

    def register(self, factory: type[T]) -> type[T]:
        """Register a class under its `name`; use it as a decorator.

        Raises:
            DuplicateNameError: If another class has that name already.
            PluginError: If it is no named subclass of the registry's base class.
        """
        self._require_plugin_class(factory, factory.__qualname__)
        name: str = factory.name  # type: ignore[attr-defined]
        existing = self._entries.get(name)
        if existing is not None and _identity(existing.factory) != _identity(factory):
            raise DuplicateNameError(
                f"Two {self.kind}s are named {name!r}: {_identity(existing.factory)} and {_identity(factory)}. "
                "Rename one of them."
            )
        self._entries[name] = _Entry(factory, _source_of(factory))
        return factory

    def names(self) -> list[str]:
        """Return all registered names, those of installed packages included, sorted."""
        return sorted({*self._entries, *self._entry_points()})

    def classes(self) -> dict[str, type[T]]:
        """Load every class; a broken installed plug-in warns and is left out.

        Returns:
            The classes by name, in the order of their `position`, where they have one, and of registration.
        """
        for name, entry_point in self._entry_points().items():
            try:
                self._load_entry_point(name, entry_point)
            except PhotoguardError as error:
                warnings.warn(str(error), stacklevel=2)
        factories = [(name, entry.factory) for name, entry in self._entries.items()]
        return dict(sorted(factories, key=lambda item: getattr(item[1], "position", 0)))

    def registered(self, name: str) -> type[T] | None:
        """Return the class that is registered under a name already, or None; nothing is loaded for it."""
        entry = self._entries.get(name)
        return entry.factory if entry else None

    def find(self, spec: str) -> type[T]:
        """Return the class that a spec names.

        Raises:
            UnknownNameError: If nothing has that name.
            PluginError: If the plug-in cannot be loaded.
        """
        return self._find(spec.partition(",")[0].strip())[0].factory

    def create(self, spec: str, defaults: Mapping[str, Any] | None = None) -> Plugin[T]:
        """Build the plug-in that a spec names.

        Args:
            spec: A name and arguments, see the module's docstring. Numbers may be fractions: `epsilon=8/255`.
            defaults: Arguments to use where the spec gives none, such as a preset's, as far as the constructor takes
                them; see `Plugin.left_out`.

        Raises:
            UnknownNameError: If nothing, no preset or no argument has that name.
            ConfigurationError: If an argument's value is refused.
            PluginError: If the plug-in cannot be loaded.
        """
        name, *pairs = [part.strip() for part in spec.split(",")]
        entry, implied = self._find(name)
        label = spec if implied else ",".join([entry.factory.name, *pairs])  # type: ignore[attr-defined]
        given = _parse_pairs(pairs, spec)
        presets = getattr(entry.factory, "presets", {})
        chosen: Mapping[str, Any] = {}
        if presets and "preset" in given:
            preset = given.pop("preset")
            if preset not in presets:
                raise UnknownNameError(f"preset of {self.kind} {name!r}", preset, presets)
            chosen = presets[preset]
        return self._configure(entry, label, {**chosen, **implied, **given}, defaults or {})

    def _configure(
        self, entry: _Entry[T], label: str, chosen: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> Plugin[T]:
        factory = entry.factory
        name: str = factory.name  # type: ignore[attr-defined]
        arguments = constructor_arguments(factory)
        for key in chosen:
            if key not in arguments:
                raise UnknownNameError(f"argument of {self.kind} {name!r}", key, arguments)
        taken = {key: value for key, value in defaults.items() if key in arguments}
        converted = {
            key: _convert(value, arguments[key].annotation, f"{self.kind} {name!r}", key)
            for key, value in {**taken, **chosen}.items()
        }
        missing = [key for key, argument in arguments.items() if argument.required and key not in converted]
        if missing:
            raise ConfigurationError(
                f"{self.kind.capitalize()} {name!r} needs {', '.join(missing)}; write {name},{missing[0]}=…"
            )
        try:
            with exits_refused(), files_read() as read:
                instance = factory(**converted)
            declared = self._declare(instance) if self._declare else None
        except (PhotoguardError, KeyboardInterrupt):
            raise
        except BaseException as error:
            message = f"{self.kind.capitalize()} {name!r} could not be built: {described(error)}."
            raise PluginError(message).at(own_frames(error, factory.__module__)) from error
        values = {key: converted.get(key, argument.default) for key, argument in arguments.items()}
        recorded = {key: _jsonable(value) for key, value in values.items()}
        try:
            canonical_json([label, recorded])
        except ValueError as error:
            raise ConfigurationError(
                f"The {self.kind} {label!a} has a label or an argument that no result can record ({error}). Give "
                "finite numbers, and names that are UTF-8; rename the file or folder if it has another."
            ) from error
        return Plugin(
            name=name,
            label=label,
            arguments=recorded,
            inputs=_inputs_of(instance, values, read),
            source=entry.source,
            fingerprint=_fingerprint(factory),
            instance=instance,
            declared=declared,
            foreign=entry.foreign,
            left_out=tuple(key for key in defaults if key not in arguments),
        )

    def _find(self, name: str) -> tuple[_Entry[T], dict[str, Any]]:
        if ":" in name:
            target, _, attribute = name.rpartition(":")
            module = _load_file(target) if target.endswith(".py") else _load_module(target)
            return self._entry_from(module, attribute, name), {}
        if name not in self._entries:
            entry_point = self._entry_points().get(name)
            if entry_point is not None:
                self._load_entry_point(name, entry_point)
        if name in self._entries:
            return self._entries[name], {}
        implied = self._fallback(name) if self._fallback else None
        if implied is None:
            raise UnknownNameError(self.kind, name, self.names(), self._hint)
        return self._entries[implied[0]], implied[1]

    def _entry_from(self, module: ModuleType, attribute: str, name: str) -> _Entry[T]:
        factory = getattr(module, attribute, None)
        if factory is None:
            raise UnknownNameError(
                f"attribute of {name.rpartition(':')[0]}",
                attribute,
                [key for key in vars(module) if not key.startswith("_")],
            )
        self._require_plugin_class(factory, name)
        return _Entry(factory, name, foreign=True)

    def _require_plugin_class(self, factory: Any, name: str) -> None:
        if not (inspect.isclass(factory) and issubclass(factory, self.base)):
            raise PluginError(
                f"{name} is {factory!r}, not a subclass of {self.base.__name__}. "
                f"Derive the {self.kind} from photoguard_eval.{self.base.__name__}."
            )
        own_name = getattr(factory, "name", None)
        if not isinstance(own_name, str) or not own_name or set(own_name) & set(",:/ "):
            raise PluginError(
                f"{name} has name = {own_name!r}; a {self.kind} needs a class attribute `name`, "
                "a string without commas, colons, slashes and spaces."
            )

    def _entry_points(self) -> dict[str, metadata.EntryPoint]:
        found: dict[str, metadata.EntryPoint] = {}
        for entry_point in metadata.entry_points(group=self.entry_point_group):
            other = found.get(entry_point.name)
            if other is not None and other.value != entry_point.value:
                raise DuplicateNameError(
                    f"Two installed packages have a {self.kind} named {entry_point.name!r}: {other.value} and "
                    f"{entry_point.value}. Uninstall one of them."
                )
            found[entry_point.name] = entry_point
        return found

    def _load_entry_point(self, name: str, entry_point: metadata.EntryPoint) -> None:
        distribution = entry_point.dist
        source = f"{distribution.name} {distribution.version}" if distribution else entry_point.value
        try:
            with exits_refused(), files_read() as read:
                factory = entry_point.load()
            _READ_AT_IMPORT.update(read)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"The {self.kind} {name!r} of {source} could not be loaded: {described(error)}. Mend or uninstall that "
                "package."
            ).at(own_frames(error, entry_point.value)) from error
        self._require_plugin_class(factory, entry_point.value)
        existing = self._entries.get(name)
        if existing is not None and _identity(existing.factory) != _identity(factory):
            raise DuplicateNameError(
                f"Two {self.kind}s are named {name!r}: {_identity(existing.factory)} and {_identity(factory)} "
                f"of {source}. Rename one of them."
            )
        self._entries[name] = _Entry(factory, source, foreign=True)


def _parse_pairs(pairs: list[str], spec: str) -> dict[str, str]:
    arguments: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"{pair!r} in {spec!r} is no argument; write name=value, separated by commas.")
        if key in arguments:
            raise ConfigurationError(f"{key!r} is given twice in {spec!r}.")
        arguments[key.strip()] = value.strip()
    return arguments


def _convert(value: Any, annotation: Any, owner: str, key: str) -> Any:
    if isinstance(value, str) and annotation is not str:
        with contextlib.suppress(ValueError, ZeroDivisionError):
            value = float(Fraction(value)) if "/" in value else value
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(f"{key}={value!r} does not fit {owner}: {error.errors()[0]['msg']}.") from error


def _inputs_of(instance: Any, values: Mapping[str, Any], read: set[str]) -> dict[str, str]:
    factory = type(instance)
    declared = declared_inputs(instance)
    inputs = {**argument_inputs(values, folders=not declared), **declared}
    known = set(inputs.values())
    opened = data_files(read | _READ_AT_IMPORT, factory)
    hashes = {f"content of {name}": sha256_of_file(path) for name, path in opened.items()}
    return {**{name: value for name, value in hashes.items() if value not in known}, **inputs}


def _jsonable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


def _identity(factory: type) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"


def _source_of(factory: type) -> str:
    package = factory.__module__.partition(".")[0]
    return package if package == PACKAGE else factory.__module__


def _fingerprint(factory: type) -> str:
    sources = source_files(factory)
    return sha256_of_json(sorted(map(sha256_of_file, sources))) if sources else ""


def _load_module(name: str) -> ModuleType:
    try:
        with exits_refused(), files_read() as read:
            module = importlib.import_module(name)
        _READ_AT_IMPORT.update(read)
        return module
    except ModuleNotFoundError as error:
        raise PluginError(
            f"There is no module {error.name!r} (looking for {name!r}). Install it, or give the path of a file "
            "that ends in .py."
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        message = f"The module {name!r} could not be imported: {described(error)}."
        raise PluginError(message).at(own_frames(error, name)) from error


def _load_file(name: str) -> ModuleType:
    path = Path(name).resolve()
    if not path.is_file():
        raise PluginError(
            f"There is no file {name}. Give the path of a Python file and an attribute: file.py:MyAttack."
        )
    module_name = f"photoguard_eval_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    loaded = sys.modules.get(module_name)
    if loaded is not None:
        return loaded
    specification = importlib.util.spec_from_file_location(module_name, path)
    if specification is None or specification.loader is None:
        raise PluginError(f"{name} could not be read as a Python module.")
    module = importlib.util.module_from_spec(specification)
    sys.modules[module_name] = module
    try:
        with exits_refused(), files_read() as read:
            specification.loader.exec_module(module)
        _READ_AT_IMPORT.update(read)
    except BaseException as error:
        del sys.modules[module_name]
        if isinstance(error, KeyboardInterrupt):
            raise
        message = f"{name} could not be imported: {described(error)}."
        raise PluginError(message).at(own_frames(error, module_name)) from error
    return module
