"""How a plug-in that was given as a class travels to another process."""

from __future__ import annotations

import pickle
from typing import Any

from photoguard_eval.errors import PluginError, described
from photoguard_eval.pipeline.session import PluginSource


def pickled(factory: type, kind: str, otherwise: str = "") -> bytes:
    """Return a class as bytes, also one that was typed in a notebook.

    Args:
        factory: The class.
        kind: What it is, for messages.
        otherwise: What can be done besides writing it into a file, with a comma before it.

    Raises:
        PluginError: If it cannot be sent.
    """
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(factory)
    except Exception as error:
        raise PluginError(
            f"The {kind} {_name(factory)!r} cannot be sent to a process of its own ({described(error)}). Write its "
            f"class into a file and name that, path/to/file.py:Class{otherwise}."
        ) from error
    return data


def unpickled(source: PluginSource, kind: str) -> Any:
    """Return the class of a source that holds one.

    Args:
        source: From `pickled`.
        kind: What it is, for messages.

    Raises:
        PluginError: If it cannot be loaded in this process.
    """
    try:
        return pickle.loads(source.pickled)
    except Exception as error:
        raise PluginError(
            f"The {kind} {source.spec!r} cannot be loaded in another process: {described(error)}. Write its class into "
            "a file and name that, path/to/file.py:Class."
        ) from error


def _name(factory: type) -> str:
    return str(getattr(factory, "name", factory.__name__))
