"""Cases and datasets.

A dataset is a folder in the imagefolder form of Hugging Face datasets: `metadata.jsonl` with one line per image,
the images and masks it names, and a card (`README.md`). Each prompt of an image is one case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from photoguard_eval import resources
from photoguard_eval.errors import ConfigurationError, DatasetError, UnknownNameError, UnreadableFileError
from photoguard_eval.files import canonical_json, parse_json, read_text, sha256_of_file, sha256_of_json
from photoguard_eval.images.arrays import read_image, require_same_size
from photoguard_eval.images.files import read_size
from photoguard_eval.images.folders import find_file, name_of
from photoguard_eval.images.masks import read_mask, require_partial_mask
from photoguard_eval.randomness import SEEDS

if TYPE_CHECKING:
    import torch

METADATA = "metadata.jsonl"

COMMON_FACTOR = 64
"""Sides that are multiples of this suit every latent diffusion model that is in use."""

Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
"""What every random generator accepts as a seed."""


class MetadataRow(BaseModel):
    """One line of `metadata.jsonl`: an image, its mask and the prompts to edit it with.

    Attributes:
        file_name: The image, relative to the folder.
        mask_file_name: The mask, relative to the folder: white is edited, black is kept.
        sha256: SHA-256 of the image file.
        mask_sha256: SHA-256 of the mask file.
        prompts: What to edit the image to; one case each.
        seeds: The seed of each case where no seed search has chosen another.
        caption: What the image shows.
        license: SPDX identifier or name of the image's licence.
        source: Where the image comes from.
        author: Who made it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_name: str
    mask_file_name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    mask_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    prompts: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    caption: str = ""
    license: str = ""
    source: str = ""
    author: str = ""

    @model_validator(mode="after")
    def _one_seed_per_prompt(self) -> MetadataRow:
        if len(self.seeds) != len(self.prompts):
            raise ValueError(f"{len(self.prompts)} prompts but {len(self.seeds)} seeds")
        return self


@dataclass(frozen=True)
class EditCase:
    """One edit to defend against.

    Attributes:
        id: Unique in the dataset: the image's stem and the number of the prompt, `fox-in-snow-2`.
        image_id: The image's stem; cases of one image share it.
        prompt: What the adversary asks for.
        seed: The seed of the edit, the same for the original and every immunized image (paper, A.1).
        image_path: The image file.
        mask_path: The mask file.
        image_sha256: SHA-256 of the image file.
        mask_sha256: SHA-256 of the mask file.
        caption: What the original shows; "" where the dataset does not say.
    """

    id: str
    image_id: str
    prompt: str
    seed: int
    image_path: Path
    mask_path: Path
    image_sha256: str
    mask_sha256: str
    caption: str = ""

    def image(self) -> torch.Tensor:
        """Read the image: (1, 3, H, W), float32 in [0, 1]."""
        return read_image(self.image_path)

    def size(self) -> tuple[int, int]:
        """Return the image's height and width without decoding it."""
        return read_size(self.image_path)

    def mask(self) -> torch.Tensor:
        """Read the mask: (1, 1, H, W), float32, 1 = region to edit.

        Raises:
            InvalidImageError: If it does not fit the image, or keeps or edits everything.
        """
        mask = read_mask(self.mask_path)
        require_same_size(self.image(), mask, self.id)
        require_partial_mask(mask, self.id)
        return mask


@dataclass(frozen=True)
class Dataset:
    """A verified dataset folder.

    Attributes:
        name: The folder's name.
        path: The folder.
        sha256: Hash of all metadata, and so of every image and mask, whose hashes it holds.
        cases: All cases, image by image.
    """

    name: str
    path: Path
    sha256: str
    cases: tuple[EditCase, ...]

    def select(self, count: int | None) -> tuple[EditCase, ...]:
        """Choose cases spread evenly over the dataset, so that few cases still come from many images.

        Args:
            count: How many; None for all.

        Raises:
            ConfigurationError: If the count is not positive.
        """
        if count is None:
            return self.cases
        if count < 1:
            raise ConfigurationError(f"The number of cases is {count}; expected at least 1.")
        total = len(self.cases)
        return self.cases if count >= total else tuple(self.cases[index * total // count] for index in range(count))

    def case(self, case_id: str) -> EditCase:
        """Return a case by its id.

        Raises:
            UnknownNameError: If the dataset has none of that id.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise UnknownNameError("case", case_id, [case.id for case in self.cases])


def load_dataset(name_or_path: str) -> Dataset:
    """Load and verify a dataset.

    Args:
        name_or_path: The name of one of the package's datasets, or a folder.

    Raises:
        UnknownNameError: If it is neither.
        DatasetError: If a line of the metadata breaks the form, a path leaves the folder, a file is missing or
            its hash is not the recorded one.
    """
    folder = _find_folder(name_or_path)
    rows = read_rows(folder / METADATA)
    cases: list[EditCase] = []
    for number, row in rows:
        where = f"{folder / METADATA}, line {number}"
        image = _verified(folder, row.file_name, row.sha256, where)
        mask = _verified(folder, row.mask_file_name, row.mask_sha256, where)
        cases.extend(
            EditCase(
                id=f"{name_of(image)}-{index}",
                image_id=name_of(image),
                prompt=prompt,
                seed=seed,
                image_path=image,
                mask_path=mask,
                image_sha256=row.sha256,
                mask_sha256=row.mask_sha256,
                caption=row.caption,
            )
            for index, (prompt, seed) in enumerate(zip(row.prompts, row.seeds, strict=True))
        )
    _require_unique([case.id for case in cases], folder)
    digest = sha256_of_json([row.model_dump(mode="json") for _, row in rows])
    return Dataset(folder.resolve().name, folder, digest, tuple(cases))


def _find_folder(name_or_path: str) -> Path:
    own = resources.datasets_folder() / name_or_path
    for folder in (own, Path(name_or_path)):
        if (folder / METADATA).is_file():
            return folder
    if Path(name_or_path).is_dir():
        raise DatasetError(
            f"{name_or_path} has no {METADATA}. A dataset is a folder with images, masks and a {METADATA} "
            "with one line per image."
        )
    known = [path.parent.name for path in resources.datasets_folder().glob(f"*/{METADATA}")]
    raise UnknownNameError("dataset", name_or_path, known, f"Or give a folder that holds a {METADATA}.")


def read_rows(path: Path) -> list[tuple[int, MetadataRow]]:
    """Read a file of metadata: each row with the number of its line.

    Raises:
        DatasetError: If it cannot be read, is not UTF-8, empty, or a line breaks the form.
    """
    try:
        text = read_text(path)
    except UnreadableFileError as error:
        raise DatasetError(str(error)) from error
    rows = []
    # Not splitlines(), which would also break a line at separators that JSON allows within a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            content = parse_json(line)
            # Half of a pair of surrogates is JSON and no text, and fails wherever it is written.
            canonical_json(content)
            rows.append((number, MetadataRow.model_validate(content)))
        except ValidationError as error:
            raise DatasetError(f"{path}, line {number}: {_describe(error)}") from error
        except ValueError as error:
            raise DatasetError(f"{path}, line {number}: not a JSON object ({error}).") from error
    if not rows:
        raise DatasetError(f"{path} is empty; expected one JSON object per image.")
    return rows


def _describe(error: ValidationError) -> str:
    known = ", ".join(MetadataRow.model_fields)
    parts = []
    for item in error.errors():
        field = ".".join(str(part) for part in item["loc"]) or "row"
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown field {field!r}; known fields: {known}.")
        else:
            parts.append(f"{field}: {item['msg']}.")
    return " ".join(parts)


def _verified(folder: Path, name: str, sha256: str, where: str) -> Path:
    if "\0" in name:
        raise DatasetError(f"{where}: {name!r} is no file name.")
    relative = PurePosixPath(name)
    # Names with accents are written in two ways, and change from one to the other where a folder is copied.
    path = find_file(folder / relative) or folder / relative
    inside = path.resolve().is_relative_to(folder.resolve())
    if relative.is_absolute() or ".." in relative.parts or not inside:
        raise DatasetError(f"{where}: {name!r} leads outside of the dataset's folder. Name files inside of it.")
    if not path.is_file():
        raise DatasetError(f"{where}: there is no file {name!r} in {folder}.")
    actual = sha256_of_file(path)
    if actual != sha256:
        raise DatasetError(
            f"{where}: {name!r} has SHA-256 {actual}, but the metadata records {sha256}. The file has changed or was "
            "not copied whole; restore it, or record the new hash if the change is meant."
        )
    return path


def _require_unique(ids: Sequence[str], folder: Path) -> None:
    seen: set[str] = set()
    for case_id in ids:
        if case_id in seen:
            raise DatasetError(f"{folder}: two cases have the id {case_id!r}. Give images different file names.")
        seen.add(case_id)
