"""Importing the modules and files that plug-ins are in, guarded against what they do meanwhile."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from photoguard_eval.errors import DuplicateNameError, PluginError, described
from photoguard_eval.plugins.exits import exits_refused
from photoguard_eval.plugins.file_reads import files_read
from photoguard_eval.plugins.tracebacks import own_frames

READ_AT_IMPORT: set[str] = set()
"""What was opened while modules of plug-ins were imported: a module is imported once, and used often."""


def load_module(name: str) -> ModuleType:
    """Import a module by its name.

    Raises:
        PluginError: If there is none, or it raises or ends the program.
    """
    try:
        with exits_refused(), files_read() as read:
            module = importlib.import_module(name)
        READ_AT_IMPORT.update(read)
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


def load_file(name: str) -> ModuleType:
    """Import a Python file; one that was imported before is not run again.

    Args:
        name: Its path.

    Raises:
        PluginError: If there is none, or it raises or ends the program.
    """
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
        READ_AT_IMPORT.update(read)
    except BaseException as error:
        del sys.modules[module_name]
        if isinstance(error, KeyboardInterrupt):
            raise
        message = f"{name} could not be imported: {described(error)}."
        raise PluginError(message).at(own_frames(error, module_name)) from error
    return module


def installed(group: str, kind: str) -> dict[str, metadata.EntryPoint]:
    """Return the entry points in which installed packages name their plug-ins, by name.

    Args:
        group: The group of entry points.
        kind: What the plug-ins are, in the singular, for the error.

    Raises:
        DuplicateNameError: If two packages have one name.
    """
    found: dict[str, metadata.EntryPoint] = {}
    for entry_point in metadata.entry_points(group=group):
        other = found.get(entry_point.name)
        if other is not None and other.value != entry_point.value:
            raise DuplicateNameError(
                f"Two installed packages have a {kind} named {entry_point.name!r}: {other.value} and "
                f"{entry_point.value}. Uninstall one of them."
            )
        found[entry_point.name] = entry_point
    return found


def distribution_of(entry_point: metadata.EntryPoint) -> str:
    """Return the installed package of an entry point with its version."""
    distribution = entry_point.dist
    return f"{distribution.name} {distribution.version}" if distribution else entry_point.value


def load_installed(entry_point: metadata.EntryPoint, kind: str) -> Any:
    """Import what an entry point names.

    Args:
        entry_point: Of an installed package.
        kind: What the plug-in is, for the error.

    Raises:
        PluginError: If it cannot be imported, raises or ends the program.
    """
    try:
        with exits_refused(), files_read() as read:
            loaded = entry_point.load()
        READ_AT_IMPORT.update(read)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            f"The {kind} {entry_point.name!r} of {distribution_of(entry_point)} could not be loaded: "
            f"{described(error)}. Mend or uninstall that package."
        ).at(own_frames(error, entry_point.value)) from error
    return loaded
