"""Where the package's data lies: embedded checkpoints, datasets, baselines and boards.

In a checkout the datasets, baselines and boards stand at the top level; in a wheel they are carried inside of the
package. Checkpoints that few runs need are a distribution of their own, which a checkout has beside the package.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from photoguard_eval.errors import ModelError

PACKAGE = Path(__file__).resolve().parent
CHECKPOINTS = PACKAGE / "checkpoints"

MORE_CHECKPOINTS = "photoguard_eval_checkpoints"
"""The package of the distribution photoguard-eval-checkpoints."""

APART = ("inpaint-b", "text-to-image-a")
"""The checkpoints that are in it."""


def checkout() -> Path | None:
    """Return the root of the checkout that the package runs from; None for an installed package."""
    root = PACKAGE.parent
    return root if not (PACKAGE / "_shared").is_dir() and (root / "pyproject.toml").is_file() else None


def _shared(in_checkout: str, in_wheel: str) -> Path:
    inside = PACKAGE / "_shared" / in_wheel
    return inside if inside.is_dir() else PACKAGE.parent / in_checkout


def datasets_folder() -> Path:
    """Return the folder that holds the datasets of the package."""
    return _shared("datasets", "datasets")


def baselines_folder() -> Path:
    """Return the folder that holds the recorded baselines."""
    return _shared("reports/baselines", "baselines")


def boards() -> dict[str, Path]:
    """Return the results that the package carries for `leaderboard --board`, by name."""
    return {path.stem: path for path in sorted(_shared("reports/boards", "boards").glob("*.json"))}


def checkpoint_folders() -> tuple[Path, ...]:
    """Return the folders that hold embedded checkpoints, each in a folder of its name."""
    root = checkout()
    beside = root / "checkpoints" / MORE_CHECKPOINTS if root else None
    if beside is not None and beside.is_dir():
        return CHECKPOINTS, beside
    installed = importlib.util.find_spec(MORE_CHECKPOINTS)
    return CHECKPOINTS, *map(Path, installed.submodule_search_locations or () if installed else ())


def embedded_checkpoints() -> dict[str, Path]:
    """Return the embedded diffusion checkpoints by name: folders that hold a `model_index.json`."""
    indices = [path for folder in checkpoint_folders() for path in folder.glob("*/model_index.json")]
    return {path.parent.name: path.parent for path in sorted(indices, key=lambda path: path.parent.name)}


def embedded_checkpoint(name: str) -> Path | None:
    """Return the folder of an embedded diffusion checkpoint; None if there is none of that name.

    Raises:
        ModelError: If it is of a distribution that is not installed.
    """
    found = embedded_checkpoints().get(name)
    if found is None and name in APART:
        raise ModelError(
            f"The checkpoint {name!r} is not in photoguard-eval itself. Install it with `pip install "
            "photoguard-eval-checkpoints`."
        )
    return found


def embedded_clip() -> Path:
    """Return the folder of the embedded CLIP, in open_clip's format."""
    return CHECKPOINTS / "clip"
