"""Writes the lowest versions that pyproject.toml admits, a pin a line, for pip.

    python .ci/lowest.py FILE [--without NAME ...]

The file is for `pip install --constraint FILE --editable .`, which fails where two bounds exclude one another, and
for `pip install --requirement FILE` over an environment that is there already.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def lowest_versions(dependencies: Sequence[str], without: Collection[str] = ()) -> list[str]:
    """Turn requirements into pins of the lowest versions that they admit.

    Args:
        dependencies: Requirements of the form `name>=version`.
        without: Names to leave out.

    Raises:
        ValueError: If a requirement has another form, or a name that is to be left out is none of them.
    """
    bounds = {}
    for requirement in dependencies:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement)
        if match is None:
            raise ValueError(f"{requirement!r} has no lower bound (name>=version). State the lowest that runs.")
        bounds[match[1]] = match[2]
    unknown = sorted(set(without) - set(bounds))
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no dependency. Known: {', '.join(bounds)}.")
    return [f"{name}=={version}" for name, version in bounds.items() if name not in without]


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Write the lowest versions that pyproject.toml admits, for pip.")
    parser.add_argument("file", type=Path, help="where to write")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME", help="dependencies to leave out")
    options = parser.parse_args()
    dependencies = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    pins = lowest_versions(dependencies, options.without)
    options.file.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")


if __name__ == "__main__":
    main()
