"""Weights that one embedded checkpoint shares with another, and that are carried once.

A file `shared_weights.json` beside `model_index.json` names them, each with the checkpoint that holds the same file. So
the hash of a checkpoint is what it would be with the file in its own folder.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoguard_eval import resources
from photoguard_eval.errors import ModelError, UnreadableFileError
from photoguard_eval.files import parse_json, read_text

SHARED_WEIGHTS = "shared_weights.json"


def entries(component: Path) -> dict[Path, Path]:
    """Return the files of a component by their places in its folder, and where each of them lies.

    Args:
        component: The folder of a component in that of a checkpoint.

    Raises:
        ModelError: If it shares weights with a checkpoint that is not there.
    """
    own = {path: path for path in component.glob("*") if path.is_file()}
    return own | {place: lies for place, lies in _shared(component.parent).items() if place.parent == component}


def _shared(checkpoint: Path) -> dict[Path, Path]:
    path = checkpoint / SHARED_WEIGHTS
    if not path.is_file():
        return {}
    try:
        named = dict(parse_json(read_text(path)))
        folders = {file: resources.embedded_checkpoint(str(owner)) for file, owner in named.items()}
    except (UnreadableFileError, ValueError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error}). Restore it from the checkpoint.") from error
    shared = {file: folder / file for file, folder in folders.items() if folder is not None}
    missing = [f"{file} of {named[file]}" for file in named if file not in shared or not shared[file].is_file()]
    if missing:
        raise ModelError(f"{path} names {', '.join(missing)}, which is not there. Restore it from the checkpoint.")
    return {checkpoint / file: lies for file, lies in shared.items()}


@contextmanager
def whole_component(checkpoint: Path, component: str) -> Iterator[Path]:
    """Give a folder that holds a component with all of its files, for the libraries, which read one folder.

    Yields:
        The checkpoint's own folder, or a temporary one where weights are shared.
    """
    files = entries(checkpoint / component)
    if all(place == lies for place, lies in files.items()):
        yield checkpoint
        return
    with tempfile.TemporaryDirectory(prefix="photoguard-eval-", ignore_cleanup_errors=True) as work:
        folder = Path(work) / component
        folder.mkdir()
        for place, lies in files.items():
            shutil.copyfile(lies, folder / place.name)
        yield Path(work)
