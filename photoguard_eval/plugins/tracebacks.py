"""Where in a plug-in's own code an error arose: its author looks there, and not in this package or in torch."""

from __future__ import annotations

import linecache
import sys
import traceback

from photoguard_eval.errors import readable
from photoguard_eval.plugins.source_code import LIBRARY_FOLDERS, PACKAGE

FRAMES = 10
"""Calls that are shown at most, the last ones."""

LINE = 160
"""Characters of a line of code that are shown at most."""


def own_frames(error: BaseException, module: str) -> str:
    """Return the calls in a plug-in's project that led to an error, one a line: file, number, function and code.

    Args:
        error: What was raised.
        module: The name of the plug-in's module.

    Returns:
        Text that can be shown; "" if the error did not arise in the project.
    """
    own = module.partition(".")[0]
    lines = []
    for frame, number in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package == PACKAGE or (package != own and _is_library(package, file)):
            continue
        code = linecache.getline(file, number).strip()[:LINE]
        lines.append(f"  {file}:{number}, in {frame.f_code.co_name}: {code}")
    return readable("\n".join(lines[-FRAMES:]))


def whole(error: BaseException) -> str:
    """Return the whole traceback of an error, with what caused it."""
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception as other:  # The message of an error may raise.
        return "".join(traceback.format_tb(error.__traceback__)) + f"({type(other).__name__} in its message)"


def _is_library(package: str, file: str) -> bool:
    parts = file.replace("\\", "/").split("/")
    return package in sys.stdlib_module_names or file.startswith("<") or bool(LIBRARY_FOLDERS & set(parts))
