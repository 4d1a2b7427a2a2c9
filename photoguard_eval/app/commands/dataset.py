"""`photoguard-eval dataset`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.app.command import Command, CommandGroup, print_json
from photoguard_eval.app.options import JSON, MASK_FROM, Option
from photoguard_eval.app.remarks import say_colours

if TYPE_CHECKING:
    from photoguard_eval.data.cases import Dataset


def check(options: argparse.Namespace) -> int:
    """Read every file of a dataset, and print a summary."""
    from photoguard_eval.data.inspection import check_dataset

    summary = check_dataset(options.dataset)
    if options.json:
        print_json(vars(summary))
        return 0
    sizes = ", ".join(f"{count} of {size}" for size, count in summary.sizes.items())
    print(f"{summary.name}: {summary.images} images ({sizes}), {summary.cases} edits, SHA-256 {summary.sha256[:16]}…")
    print(f"The masks keep {summary.least_kept:.0%} to {summary.most_kept:.0%} of an image.")
    for remark in summary.remarks:
        print(f"Remark: {remark}")
    return 0


def resize(options: argparse.Namespace) -> int:
    """Write a copy of a dataset at another size."""
    from photoguard_eval.data.authoring import resize_dataset
    from photoguard_eval.data.cases import load_dataset

    _say_colours_of(load_dataset(options.dataset))
    dataset = resize_dataset(options.dataset, options.folder, options.side)
    print(f"{dataset.path}: {len(dataset.cases)} edits")
    return 0


def create(options: argparse.Namespace) -> int:
    """Write a dataset of a user's images, masks and prompts."""
    from photoguard_eval.data.authoring import Provenance, create_dataset

    provenance = Provenance(options.license, options.author, options.source)
    dataset = create_dataset(
        options.folder, options.images, options.masks, options.prompts, provenance, options.mask_from
    )
    _say_colours_of(dataset)
    print(f"{dataset.path}: {len(dataset.cases)} edits. Complete its README.md, then run")
    print(f"  photoguard-eval run --dataset {dataset.path}")
    return 0


def _say_colours_of(dataset: Dataset) -> None:
    say_colours(list(dict.fromkeys(case.image_path for case in dataset.cases)))


DATASET = Option("dataset", "name or folder of the dataset", positional=True)
FOLDER = Option("folder", "where to; a new folder", type=Path, positional=True)

COMMAND = CommandGroup(
    "dataset",
    "Check a dataset, make one of your own images, or one at another size.",
    (
        Command("check", "Read every file of a dataset and sum up what is there.", check, (DATASET, JSON)),
        Command(
            "resize",
            "Copy a dataset at another size.",
            resize,
            (
                DATASET,
                FOLDER,
                Option("side", "the shorter side of the images", type=int, metavar="PIXELS", required=True),
            ),
        ),
        Command(
            "init",
            "Make a dataset of images, masks and prompts.",
            create,
            (
                FOLDER,
                Option("images", "PNG, JPEG or WebP files", type=Path, metavar="DIR", required=True),
                Option("masks", "of the same names: white is edited", type=Path, metavar="DIR", required=True),
                MASK_FROM,
                Option(
                    "prompts",
                    "one edit a line: the image's name, a tab, the prompt",
                    type=Path,
                    metavar="FILE",
                    required=True,
                ),
                Option("license", "of the images", default=""),
                Option("author", "of the images", default=""),
                Option("source", "where the images come from", default=""),
            ),
        ),
    ),
)
