"""Where baselines lie: those that the package carries, and those of its users."""

from __future__ import annotations

import re
from pathlib import Path

from photoguard_eval import resources
from photoguard_eval.results.schema import EvaluationResult

USER_FOLDER = Path("baselines")
"""Below the current folder: the baselines of the user's project."""


def own_folder() -> Path:
    """Return where baselines are recorded that no other place was given for.

    Whoever works in the package's own checkout records the package's baselines. Everybody else records those of a
    project of their own, and never into the installed package.
    """
    checkout = resources.checkout()
    if checkout is not None and Path.cwd().resolve().is_relative_to(checkout):
        return resources.baselines_folder()
    return USER_FOLDER


def file_name(result: EvaluationResult) -> str:
    """Return the file name of the baseline of a result's model, dataset and preset."""
    name = "-".join([result.model.name.replace("/", "--"), result.dataset.name, result.preset])
    return re.sub(r"[^\w.-]", "_", name) + ".json"


def find_baseline(result: EvaluationResult) -> Path | None:
    """Return the baseline of a result's model, dataset and preset: the user's own, else the package's, else None."""
    folders = (own_folder(), resources.baselines_folder())
    return next((path for folder in folders if (path := folder / file_name(result)).is_file()), None)


def is_of_the_package(path: Path) -> bool:
    """Tell whether a baseline is one of those that the package carries."""
    return path.resolve().is_relative_to(resources.baselines_folder().resolve())


def shown(path: Path) -> str:
    """Return how a report calls a baseline, without the folders of the machine above the current one."""
    place = path.resolve()
    if place.is_relative_to(Path.cwd().resolve()):
        return place.relative_to(Path.cwd().resolve()).as_posix()
    return f"{path.name}, which the package carries" if is_of_the_package(path) else path.name
