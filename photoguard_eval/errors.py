"""The errors that a user can cause.

Every message says what was wrong, what was expected and what to do. The command line prints the message
alone and ends with the class's exit code; everything else that is raised is a defect of this package or of
a library and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PhotoguardError(Exception):
    """Base of all errors that a user can cause and mend."""

    exit_code = 2


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


class BudgetExceededError(AttackError):
    """An immunized image lies outside its attack's threat model."""


class MetricError(PhotoguardError):
    """A metric gave NaN or a value outside of its range, or its inputs do not fit it."""


class StoreError(PhotoguardError):
    """The artifact store cannot be written, or was written under another schema."""


class BaselineError(PhotoguardError):
    """A baseline is missing, of another schema, or lacks what the gate has to compare."""
