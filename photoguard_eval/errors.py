"""The errors that a user can cause.

Every message says what was wrong, what was expected and what to do. The command line prints the message
alone and ends with the class's exit code; everything else that is raised is a defect of this package or of
a library and keeps its traceback.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Self

PAGE = 2000
"""Characters that are shown at most of a text that a plug-in wrote."""

LINES = 40
"""Lines that are shown at most of it."""


class PhotoguardError(Exception):
    """Base of all errors that a user can cause and mend.

    Attributes:
        exit_code: What the command ends with.
        frames: Where in a plug-in's own code it arose, a line for each call; "" where no plug-in raised it.
    """

    exit_code = 2
    frames = ""

    def at(self, frames: str) -> Self:
        """Say where in a plug-in's code it arose, and return the error."""
        self.frames = frames
        return self


class ConfigurationError(PhotoguardError):
    """An option or argument has a value outside of what is allowed."""


class UnknownNameError(ConfigurationError):
    """A name that no registry entry, preset, metric or case has."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        """Build the message with the closest known names.

        Args:
            kind: What was looked up, for example "attack".
            name: The name that was given.
            known: All names that would have been accepted.
            hint: What else would have been accepted, as a sentence.
        """
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        suggestion = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
        listed = f" Known: {', '.join(known)}." if known else ""
        super().__init__(f"Unknown {kind} {name!r}.{suggestion}{listed}{' ' + hint if hint else ''}")


class DuplicateNameError(ConfigurationError):
    """Two plug-ins claim the same name."""


class PluginError(PhotoguardError):
    """A plug-in could not be loaded or does not keep its contract."""


class InvalidImageError(PhotoguardError):
    """An image or mask is missing, unreadable, of the wrong size or of an unsupported mode."""


class UnreadableFileError(PhotoguardError):
    """A file or folder is there, or should be, and the system does not let it be read or written."""


class DatasetError(PhotoguardError):
    """A dataset folder breaks the format: metadata, paths or hashes."""


class ModelError(PhotoguardError):
    """A checkpoint is missing, incomplete or of an unsupported kind, or the device is not there."""


class AttackError(PluginError):
    """An attack raised, or returned something other than finite images of the batch's shape."""


class InterferenceError(AttackError):
    """An attack changed the model, torch or this package, which all attacks share."""


class BudgetExceededError(AttackError):
    """An immunized image lies outside its attack's threat model."""


class UnfinishedError(PhotoguardError):
    """A run ended without a result: it was to stop at the first attack that fails, or a process ended."""

    exit_code = 1


class MetricError(PhotoguardError):
    """A metric gave NaN or a value outside of its range, or its inputs do not fit it."""


class StoreError(PhotoguardError):
    """The artifact store cannot be written, or was written under another schema."""


class BaselineError(PhotoguardError):
    """A baseline is missing, of another schema, or lacks what the gate has to compare."""


class _ElsewhereError(Exception):
    """What led to an error in another process: its traceback, as text."""


def rebuilt(name: str, message: str, traceback: str, otherwise: type[PhotoguardError]) -> PhotoguardError:
    """Return an error that another process raised.

    Args:
        name: Of its class.
        message: Its message.
        traceback: What led to it, as text.
        otherwise: Its class, if this module has none of that name.
    """
    kind = globals().get(name)
    if not (isinstance(kind, type) and issubclass(kind, PhotoguardError)):
        kind = otherwise
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    if traceback:
        error.__cause__ = _ElsewhereError(f"in another process\n{traceback}")
    return error


def described(error: BaseException) -> str:
    """Return the class and the message of an error that a plug-in raised, as text that can be shown."""
    message = message_of(error)
    return readable(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def message_of(error: BaseException) -> str:
    """Return the message of an error as text that can be shown, also if asking for it raises."""
    try:
        return readable(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as other:
        return f"(its message cannot be read: {type(other).__name__})"


def readable(text: str) -> str:
    """Return a text that somebody else wrote so that it can be shown: of a page at most, without control characters.

    Args:
        text: Any text. What is over `PAGE` characters or `LINES` lines is left out, and the text says so; control
            characters, lone surrogates and the like are written as Python escapes.
    """
    shown = text[:PAGE]
    lines = shown.splitlines()
    if len(lines) > LINES:
        shown = "\n".join(lines[:LINES])
    left_out = len(text) - len(shown)
    shown = "".join(map(_visible, shown))
    return f"{shown} … ({left_out:,} more characters)" if left_out else shown


def _visible(character: str) -> str:
    if character in "\n\t" or not unicodedata.category(character).startswith("C"):
        return character
    return character.encode("unicode_escape").decode("ascii")
