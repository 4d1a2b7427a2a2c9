"""What is in a dataset's folder, and what its users would miss or stumble over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.data.cases import COMMON_FACTOR, METADATA, Dataset, load_dataset, read_rows
from photoguard_eval.images.files import colour_remark
from photoguard_eval.images.masks import LATENT_FACTORS, LEAST_LEFT, share_left

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DatasetSummary:
    """What is in a dataset's folder.

    Attributes:
        name: The dataset's name.
        sha256: Its hash.
        images: Number of images.
        cases: Number of edits.
        sizes: Sizes of the images, "512 × 512", with the number of images of each.
        least_kept: Least share of an image that a mask keeps.
        most_kept: Greatest share.
        remarks: What a reader of results on it would miss or stumble over.
    """

    name: str
    sha256: str
    images: int
    cases: int
    sizes: dict[str, int]
    least_kept: float
    most_kept: float
    remarks: tuple[str, ...]


def check_dataset(name_or_path: str) -> DatasetSummary:
    """Read every file of a dataset and sum up what is there.

    Args:
        name_or_path: The name of one of the package's datasets, or a folder.

    Raises:
        UnknownNameError: If it is neither.
        DatasetError: If the metadata breaks the form, a file is missing or its hash is not the recorded one.
        InvalidImageError: If an image or mask cannot be read, does not fit, or keeps or edits everything.
    """
    dataset = load_dataset(name_or_path)
    firsts = {case.image_id: case for case in dataset.cases}
    sizes: dict[str, int] = {}
    masks = {case.image_id: case.mask() for case in firsts.values()}
    for case in firsts.values():
        height, width = case.size()
        size = f"{width} × {height}"
        sizes[size] = sizes.get(size, 0) + 1
    kept = [1 - float(mask.mean()) for mask in masks.values()]
    return DatasetSummary(
        name=dataset.name,
        sha256=dataset.sha256,
        images=len(firsts),
        cases=len(dataset.cases),
        sizes=sizes,
        least_kept=min(kept),
        most_kept=max(kept),
        remarks=(
            *_remarks_on_metadata(dataset),
            *_remarks_on_masks(masks),
            *_remarks_on_colours({name: case.image_path for name, case in firsts.items()}),
        ),
    )


def _remarks_on_metadata(dataset: Dataset) -> list[str]:
    rows = [row for _, row in read_rows(dataset.path / METADATA)]
    remarks = []
    for field in ("caption", "license", "author", "source"):
        without = [Path(row.file_name).stem for row in rows if not getattr(row, field)]
        if without:
            remarks.append(f"{len(without)} of {len(rows)} images have no {field}: {some(without)}.")
    odd = dict.fromkeys(case.image_id for case in dataset.cases if any(side % COMMON_FACTOR for side in case.size()))
    if odd:
        remarks.append(f"Sides that are no multiples of {COMMON_FACTOR} do not suit every model: {some(list(odd))}.")
    by_hash: dict[str, list[str]] = {}
    for row in rows:
        by_hash.setdefault(row.sha256, []).append(Path(row.file_name).stem)
    remarks += [f"The same image more than once: {some(stems)}." for stems in by_hash.values() if len(stems) > 1]
    for row in rows:
        if len(set(row.prompts)) < len(row.prompts):
            remarks.append(f"{Path(row.file_name).stem} has the same prompt more than once.")
    if not (dataset.path / "README.md").is_file():
        remarks.append("There is no README.md that says where the images come from.")
    return remarks


def _remarks_on_masks(masks: Mapping[str, torch.Tensor]) -> list[str]:
    """Say which masks are too thin for the latents, of which a model sees every f-th pixel."""
    remarks = []
    for models, factor in LATENT_FACTORS.items():
        left = {name: share_left(mask, factor) for name, mask in masks.items()}
        none = [name for name, share in left.items() if share == 0]
        little = [name for name, share in left.items() if 0 < share < LEAST_LEFT]
        if none:
            remarks.append(f"Masks too thin to edit anything with {models} ({factor} pixels a latent): {some(none)}.")
        if little:
            remarks.append(f"Masks of which {models} edit less than {LEAST_LEFT:.0%}: {some(little)}.")
    return remarks


def _remarks_on_colours(images: Mapping[str, Path]) -> list[str]:
    by_remark: dict[str, list[str]] = {}
    for name, path in images.items():
        by_remark.setdefault(colour_remark(path), []).append(name)
    return [f"{some(names)}: {remark}." for remark, names in by_remark.items() if remark]


def some(names: Sequence[str], shown: int = 3) -> str:
    """Return the first of some names, and how many more there are."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
