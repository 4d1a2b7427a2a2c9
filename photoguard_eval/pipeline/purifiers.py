"""Purifiers as a plan has them: each built once here, and once by whoever computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.errors import DuplicateNameError
from photoguard_eval.pipeline.luggage import files_of, find_modules, search_path
from photoguard_eval.pipeline.rows import purification_of
from photoguard_eval.pipeline.session import PluginSource
from photoguard_eval.pipeline.sources import pickled, unpickled
from photoguard_eval.plugins.file_reads import files_read
from photoguard_eval.plugins.loading import READ_AT_IMPORT
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.plugins.source_code import is_of_this_package
from photoguard_eval.purifiers import PURIFIERS, Purifier, PurifierChoice
from photoguard_eval.results.rows import Purification


@dataclass(frozen=True)
class PlannedPurifier:
    """A purifier of a plan.

    Attributes:
        plugin: The purifier.
        source: How another process builds it.
    """

    plugin: Plugin[Purifier]
    source: PluginSource


def plan_purifiers(purifiers: Sequence[PurifierChoice]) -> tuple[PlannedPurifier, ...]:
    """Build the purifiers that were asked for; two of one name and strength are one.

    Args:
        purifiers: Specs, classes and instances.

    Raises:
        DuplicateNameError: If two different purifiers have the same name and strength.
        PhotoguardError: If one cannot be built.
    """
    planned: dict[Purification, PlannedPurifier] = {}
    for choice in purifiers:
        known = PURIFIERS.registered(choice.partition(",")[0].strip()) if isinstance(choice, str) else None
        with files_read() as read:
            plugin = PURIFIERS.create(choice)
        factory = type(plugin.instance)
        spec = choice if isinstance(choice, str) else plugin.label
        files = files_of(spec, factory, read | READ_AT_IMPORT)
        given = not isinstance(choice, str) or known is not None
        data = pickled(factory, PURIFIERS.kind) if given and not is_of_this_package(factory) else b""
        source = PluginSource(spec, data, files=files, folder=str(Path.cwd()), search=search_path(files))
        first = planned.setdefault(purification_of(plugin), PlannedPurifier(plugin, source)).plugin
        if (first.source, first.fingerprint) != (plugin.source, plugin.fingerprint):
            raise DuplicateNameError(
                f"Two purifiers are named {plugin.label!r}: of {first.source} and of {plugin.source}. Rename one of "
                "them."
            )
    return tuple(planned.values())


def build_purifier(source: PluginSource) -> Plugin[Purifier]:
    """Build a purifier in this process.

    Args:
        source: How.

    Raises:
        PhotoguardError: If it cannot be built.
    """
    find_modules(source)
    if not source.pickled:
        return PURIFIERS.create(source.spec)
    return PURIFIERS.create_of(unpickled(source, PURIFIERS.kind), source.spec)
