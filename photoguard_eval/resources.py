"""Where the package's data lies: embedded checkpoints, datasets and baselines.

In a checkout the datasets and baselines stand at the top level; in a wheel they are carried inside of the package.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CHECKPOINTS = PACKAGE / "checkpoints"


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


def embedded_checkpoints() -> dict[str, Path]:
    """Return the embedded diffusion checkpoints by name: folders that hold a `model_index.json`."""
    return {path.parent.name: path.parent for path in sorted(CHECKPOINTS.glob("*/model_index.json"))}


def embedded_clip() -> Path:
    """Return the folder of the embedded CLIP, in open_clip's format."""
    return CHECKPOINTS / "clip"
