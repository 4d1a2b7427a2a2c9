"""One registry for everything that plugs in: attacks, editors, metrics, purifiers.

A plug-in is given as an object, or named by a *spec*: a name, followed by arguments of its constructor,
`encoder,target=zero,steps=50`. The name is one of

* a registered name (`encoder`), of this package or of an installed one through its entry point,
* `module:attribute` of an importable module,
* `path/to/file.py:attribute` of a file,
* whatever a registry accepts besides, such as a folder of finished images for attacks.

A class may have a dictionary `presets` of named sets of arguments. `mist,preset=published` takes one of them; what the
spec gives besides goes before it.

An object is a class (`MyAttack`) or an instance of one (`MyAttack(steps=5)`), also of a class that was typed in a
notebook. An instance is labelled as a spec would be, `my-attack,steps=5`, so its class keeps each argument of its
constructor under the argument's name.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from types import ModuleType
from typing import Any, Generic, TypeVar

from photoguard_eval.errors import DuplicateNameError, PhotoguardError, PluginError, UnknownNameError
from photoguard_eval.plugins.building import Entry, build
from photoguard_eval.plugins.contract import require_plugin_class
from photoguard_eval.plugins.instances import arguments_of, require_same
from photoguard_eval.plugins.loading import distribution_of, installed, load_file, load_installed, load_module
from photoguard_eval.plugins.plugin import Plugin
from photoguard_eval.plugins.source_code import PACKAGE, is_of_this_package
from photoguard_eval.plugins.specs import parse

__all__ = ["Plugin", "Registry"]

T = TypeVar("T")


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
        self._entries: dict[str, Entry[T]] = {}

    def register(self, factory: type[T]) -> type[T]:
        """Register a class under its `name`; use it as a decorator.

        Raises:
            DuplicateNameError: If another class has that name already.
            PluginError: If it is no named subclass of the registry's base class, or a method takes other arguments than
                it is given.
        """
        called = getattr(factory, "__qualname__", repr(factory))
        require_plugin_class(factory, self.kind, self.base, called)
        self._enter(Entry(factory, _source_of(factory)))
        return factory

    def names(self) -> list[str]:
        """Return all registered names, those of installed packages included, sorted."""
        return sorted({*self._entries, *self._installed()})

    def classes(self) -> dict[str, type[T]]:
        """Load every class; a broken installed plug-in warns and is left out.

        Returns:
            The classes by name, in the order of their `position`, where they have one, and of registration.
        """
        for name, entry_point in self._installed().items():
            try:
                self._load_installed(name, entry_point)
            except PhotoguardError as error:
                warnings.warn(str(error), stacklevel=2)
        factories = [(name, entry.factory) for name, entry in self._entries.items()]
        return dict(sorted(factories, key=lambda item: getattr(item[1], "position", 0)))

    def registered(self, name: str) -> type[T] | None:
        """Return the class that is registered under a name already, or None; nothing is loaded for it."""
        entry = self._entries.get(name)
        return entry.factory if entry else None

    def find(self, plugin: str | type[T] | T) -> type[T]:
        """Return the class of a plug-in.

        Args:
            plugin: A spec, a class or an instance.

        Raises:
            UnknownNameError: If nothing has that name.
            PluginError: If the plug-in cannot be loaded, or is of another kind.
        """
        if isinstance(plugin, str):
            return self._named(plugin.partition(",")[0].strip())[0].factory
        return self._given(plugin).factory

    def create(self, plugin: str | type[T] | T, defaults: Mapping[str, Any] | None = None) -> Plugin[T]:
        """Build a plug-in. An instance is built anew, so that its label and its key tell all of it.

        Args:
            plugin: A spec, see the module's docstring, in which numbers may be fractions: `budget=8/255`; a class; or
                an instance.
            defaults: Arguments to use where none are given, such as a preset's, as far as the constructor takes them;
                see `Plugin.left_out`. An instance has all of its arguments.

        Raises:
            UnknownNameError: If nothing, no preset or no argument has that name.
            ConfigurationError: If an argument's value is refused.
            PluginError: If the plug-in cannot be loaded, is of another kind, or is an instance that does not keep its
                arguments.

        Example:
            >>> from photoguard_eval.purifiers import PURIFIERS, BlurPurifier
            >>> [PURIFIERS.create(blur).label for blur in ("blur,size=3", BlurPurifier, BlurPurifier(size=3))]
            ['blur,size=3', 'blur', 'blur,size=3']
        """
        defaults = defaults or {}
        if isinstance(plugin, str):
            return self._create_named(plugin, defaults)
        entry = self._given(plugin)
        if isinstance(plugin, type):
            return build(self.kind, entry, {}, defaults, self._declare)
        built = build(self.kind, entry, arguments_of(plugin, self.kind), defaults, self._declare)
        require_same(plugin, built.instance, self.kind)
        return built

    def create_of(self, factory: type[T], text: str, defaults: Mapping[str, Any] | None = None) -> Plugin[T]:
        """Build a plug-in of a class that was given, and arguments that are written.

        Args:
            factory: The class.
            text: A spec, such as the label of an instance of it; its name stands for the class.
            defaults: See `create`.

        Raises:
            PhotoguardError: See `create`.
        """
        return self._create_spec(text, defaults or {}, self._given(factory), {})

    def _create_named(self, text: str, defaults: Mapping[str, Any]) -> Plugin[T]:
        return self._create_spec(text, defaults, *self._named(parse(text).name))

    def _create_spec(
        self, text: str, defaults: Mapping[str, Any], entry: Entry[T], implied: Mapping[str, Any]
    ) -> Plugin[T]:
        spec = parse(text)
        called = spec.name if implied else entry.name
        kept = [pair for key, pair in zip(spec.arguments, spec.pairs, strict=True) if key not in entry.axes]
        labels = ",".join([called, *spec.pairs]), ",".join([called, *kept])
        given = dict(spec.arguments)
        presets = getattr(entry.factory, "presets", {})
        chosen: Mapping[str, Any] = {}
        if presets and "preset" in given:
            preset = given.pop("preset")
            if preset not in presets:
                raise UnknownNameError(f"preset of {self.kind} {spec.name!r}", preset, presets)
            chosen = presets[preset]
        return build(self.kind, entry, {**chosen, **implied, **given}, defaults, self._declare, labels)

    def _given(self, plugin: type[T] | T) -> Entry[T]:
        """Return the entry of a class, or of the class of an instance, that was given and not named."""
        factory: Any = plugin if isinstance(plugin, type) else type(plugin)
        if not issubclass(factory, self.base):
            what = "class " if factory is plugin else "object of the class "
            raise PluginError(
                f"The {what}{factory.__name__} is no {self.kind}. Expected a name with arguments such as "
                f"'{next(iter(self._entries), 'name')},argument=value', a class that derives from "
                f"photoguard_eval.{self.base.__name__}, or an instance of one."
            )
        require_plugin_class(factory, self.kind, self.base, factory.__qualname__)
        entry = self._entries.get(factory.name)
        if entry is not None and entry.factory is factory:
            return entry
        return Entry(factory, _source_of(factory), foreign=_can_be_imported(factory))

    def _named(self, name: str) -> tuple[Entry[T], dict[str, Any]]:
        if ":" in name:
            target, _, attribute = name.rpartition(":")
            module = load_file(target) if target.endswith(".py") else load_module(target)
            return self._attribute(module, attribute, name), {}
        if name not in self._entries:
            entry_point = self._installed().get(name)
            if entry_point is not None:
                self._load_installed(name, entry_point)
        if name in self._entries:
            return self._entries[name], {}
        implied = self._fallback(name) if self._fallback else None
        if implied is None:
            raise UnknownNameError(self.kind, name, self.names(), self._hint)
        return self._entries[implied[0]], implied[1]

    def _attribute(self, module: ModuleType, attribute: str, name: str) -> Entry[T]:
        factory = getattr(module, attribute, None)
        if factory is None:
            raise UnknownNameError(
                f"attribute of {name.rpartition(':')[0]}",
                attribute,
                [key for key in vars(module) if not key.startswith("_")],
            )
        require_plugin_class(factory, self.kind, self.base, name)
        return Entry(factory, name, foreign=True)

    def _installed(self) -> dict[str, metadata.EntryPoint]:
        return installed(self.entry_point_group, self.kind)

    def _load_installed(self, name: str, entry_point: metadata.EntryPoint) -> None:
        factory = load_installed(entry_point, self.kind)
        require_plugin_class(factory, self.kind, self.base, entry_point.value)
        self._enter(Entry(factory, distribution_of(entry_point), foreign=True), name)

    def _enter(self, entry: Entry[T], name: str = "") -> None:
        name = name or entry.name
        existing = self._entries.get(name)
        if existing is not None and _identity(existing.factory) != _identity(entry.factory):
            of = f" of {entry.source}" if entry.foreign else ""
            raise DuplicateNameError(
                f"Two {self.kind}s are named {name!r}: {_identity(existing.factory)} and {_identity(entry.factory)}"
                f"{of}. Rename one of them."
            )
        self._entries[name] = entry


def _identity(factory: type) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"


def _source_of(factory: type) -> str:
    return PACKAGE if is_of_this_package(factory) else factory.__module__


def _can_be_imported(factory: type) -> bool:
    """Tell whether another process finds a class by its module and name."""
    if factory.__module__ == "__main__" or is_of_this_package(factory):
        return False
    module = sys.modules.get(factory.__module__)
    return inspect.getattr_static(module, factory.__name__, None) is factory
