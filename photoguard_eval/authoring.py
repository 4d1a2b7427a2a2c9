"""Making a dataset of one's own, of images, masks and prompts or of another at another size, and checking any."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.cases import METADATA, Dataset, load_dataset, read_rows
from photoguard_eval.errors import ConfigurationError, DatasetError
from photoguard_eval.files import sha256_of_file, write_atomically
from photoguard_eval.images import (
    image_files,
    read_image,
    read_mask,
    require_partial_mask,
    require_same_size,
    write_image,
)

COMMON_FACTOR = 64
"""Sides that are multiples of this suit every latent diffusion model that is in use."""

CARD = """---
pretty_name: {name}
license: {license}
task_categories:
  - image-to-image
---

# {name}

{images} images, {cases} edits. Write here what the images show, who made them, under what licence, who is in them and
whether they agreed, how the masks were drawn, and what must not be done with them.
"""


@dataclass(frozen=True)
class Provenance:
    """Where the images of a dataset come from; the same for all.

    Attributes:
        license: SPDX identifier or name of the licence.
        author: Who made them.
        source: Where they were published.
    """

    license: str = ""
    author: str = ""
    source: str = ""


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
    kept = []
    for case in firsts.values():
        height, width = case.size()
        size = f"{width} × {height}"
        sizes[size] = sizes.get(size, 0) + 1
        kept.append(1 - float(case.mask().mean()))
    return DatasetSummary(
        name=dataset.name,
        sha256=dataset.sha256,
        images=len(firsts),
        cases=len(dataset.cases),
        sizes=sizes,
        least_kept=min(kept),
        most_kept=max(kept),
        remarks=tuple(_remarks(dataset)),
    )


def _remarks(dataset: Dataset) -> list[str]:
    rows = [row for _, row in read_rows(dataset.path / METADATA)]
    remarks = []
    for field in ("caption", "license", "author", "source"):
        without = [Path(row.file_name).stem for row in rows if not getattr(row, field)]
        if without:
            remarks.append(f"{len(without)} of {len(rows)} images have no {field}: {_some(without)}.")
    odd = dict.fromkeys(case.image_id for case in dataset.cases if any(side % COMMON_FACTOR for side in case.size()))
    if odd:
        remarks.append(f"Sides that are no multiples of {COMMON_FACTOR} do not suit every model: {_some(list(odd))}.")
    by_hash: dict[str, list[str]] = {}
    for row in rows:
        by_hash.setdefault(row.sha256, []).append(Path(row.file_name).stem)
    remarks += [f"The same image more than once: {_some(stems)}." for stems in by_hash.values() if len(stems) > 1]
    for row in rows:
        if len(set(row.prompts)) < len(row.prompts):
            remarks.append(f"{Path(row.file_name).stem} has the same prompt more than once.")
    if not (dataset.path / "README.md").is_file():
        remarks.append("There is no README.md that says where the images come from.")
    return remarks


def _some(names: Sequence[str], shown: int = 3) -> str:
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def create_dataset(folder: Path, images: Path, masks: Path, prompts: Path, provenance: Provenance) -> Dataset:
    """Make a dataset's folder of images, masks and prompts; it is written whole or not at all.

    Args:
        folder: Where to; it must not exist, or be empty.
        images: Folder of images: PNG, JPEG or WebP.
        masks: Folder of masks with the same names but for the ending: white is edited.
        prompts: Text file with one edit a line: the image's name without its ending, a tab, and the prompt.
        provenance: Where the images come from.

    Raises:
        DatasetError: If the folder is taken, or images, masks and prompts do not belong together.
        InvalidImageError: If an image or mask cannot be read, they do not fit, or a mask keeps or edits everything.
    """
    _require_free(folder)
    wanted = _read_prompts(prompts)
    pictures, outlines = _by_stem(images), _by_stem(masks)
    for what, have, where in (("image", pictures, images), ("mask", outlines, masks)):
        missing = [stem for stem in wanted if stem not in have]
        if missing:
            raise DatasetError(f"{prompts} names {_some(missing)}, of which {where} has no {what}. Add it.")
    unused = [stem for stem in pictures if stem not in wanted]
    if unused:
        raise DatasetError(f"{prompts} has no prompt for {_some(unused)} of {images}. Add one or move the image away.")
    with _written_whole(folder) as made:
        rows = []
        seeds = itertools.count()
        for stem, texts in wanted.items():
            image, mask = read_image(pictures[stem]), read_mask(outlines[stem])
            require_same_size(image, mask, stem)
            require_partial_mask(mask, stem)
            rows.append(_copy(made, pictures[stem], outlines[stem], texts, seeds, provenance))
        _write_rows(made, rows)
        card = CARD.format(
            name=folder.name,
            license=provenance.license or "unknown",
            images=len(rows),
            cases=sum(len(texts) for texts in wanted.values()),
        )
        write_atomically(made / "README.md", card.encode())
    return load_dataset(str(folder))


def resize_dataset(name_or_path: str, folder: Path, side: int) -> Dataset:
    """Copy a dataset with its images and masks at another size; it is written whole or not at all.

    Images are resampled bicubically, with antialiasing; their shorter side becomes the given one, and the other follows
    to the nearest multiple of `COMMON_FACTOR`. Everything else, prompts, seeds and provenance, stays.

    Args:
        name_or_path: The name of one of the package's datasets, or a folder.
        folder: Where to; it must not exist, or be empty.
        side: The shorter side, in pixels.

    Raises:
        ConfigurationError: If the side is no positive multiple of `COMMON_FACTOR`.
        UnknownNameError: If there is no such dataset.
        DatasetError: If the dataset is not intact, or the folder is taken.
    """
    from torch.nn.functional import interpolate

    if side < 1 or side % COMMON_FACTOR:
        raise ConfigurationError(f"The side is {side}; expected a positive multiple of {COMMON_FACTOR}.")
    _require_free(folder)
    dataset = load_dataset(name_or_path)
    with _written_whole(folder) as made:
        rows = []
        for _, row in read_rows(dataset.path / METADATA):
            names = {
                "file_name": str(Path(row.file_name).with_suffix(".png")),
                "mask_file_name": str(Path(row.mask_file_name).with_suffix(".png")),
            }
            image, mask = read_image(dataset.path / row.file_name), read_mask(dataset.path / row.mask_file_name)
            scale = side / min(image.shape[-2:])
            size = [_to_multiple(pixels * scale) for pixels in image.shape[-2:]]
            for picture, name in zip((image, mask), names.values(), strict=True):
                resized = interpolate(picture, size=size, mode="bicubic", antialias=True)
                write_image(made / name, resized if name == names["file_name"] else (resized >= 0.5).float())
            digests = {
                "sha256": sha256_of_file(made / names["file_name"]),
                "mask_sha256": sha256_of_file(made / names["mask_file_name"]),
            }
            rows.append({**row.model_dump(mode="json"), **names, **digests})
        _write_rows(made, rows)
        card = dataset.path / "README.md"
        before = card.read_text(encoding="utf-8") if card.is_file() else f"# {dataset.name}\n"
        note = f"\nThis copy was resized to {side} pixels: `photoguard-eval dataset resize`.\n"
        write_atomically(made / "README.md", (before + note).encode())
    return load_dataset(str(folder))


def _to_multiple(pixels: float) -> int:
    return max(1, round(pixels / COMMON_FACTOR)) * COMMON_FACTOR


def _require_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} is there and not empty. Name a new folder; nothing is overwritten.")


@contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """Lend a folder to write a dataset into; it takes its place once it is written and intact."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:
        made = Path(unfinished) / folder.name
        yield made
        load_dataset(str(made))
        if folder.is_dir():
            folder.rmdir()
        made.rename(folder)


def _write_rows(folder: Path, rows: Sequence[Mapping[str, object]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_atomically(folder / METADATA, lines.encode())


def _copy(
    folder: Path, image: Path, mask: Path, prompts: Sequence[str], seeds: Iterator[int], provenance: Provenance
) -> Mapping[str, object]:
    """Copy an image and its mask and return their line of the metadata."""
    names = {"file_name": f"images/{image.name}", "mask_file_name": f"masks/{mask.name}"}
    for file, name in zip((image, mask), names.values(), strict=True):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return {
        **names,
        "sha256": sha256_of_file(folder / names["file_name"]),
        "mask_sha256": sha256_of_file(folder / names["mask_file_name"]),
        "prompts": list(prompts),
        "seeds": [next(seeds) for _ in prompts],
        **vars(provenance),
    }


def _read_prompts(path: Path) -> dict[str, list[str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} cannot be read ({error}). Give a text file, an image and a prompt a line."
        ) from error
    prompts: dict[str, list[str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        stem, tab, prompt = line.partition("\t")
        if not (stem.strip() and tab and prompt.strip()):
            raise DatasetError(
                f"{path}, line {number}: expected the image's name without its ending, a tab and a prompt, found "
                f"{line!r}."
            )
        prompts.setdefault(stem.strip(), []).append(prompt.strip())
    if not prompts:
        raise DatasetError(f"{path} has no prompts. Write one edit a line: the image's name, a tab and the prompt.")
    return prompts


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder. Give one that holds PNG, JPEG or WebP files.")
    found: dict[str, Path] = {}
    for path in image_files(folder):
        if path.stem in found:
            raise DatasetError(f"{folder} has two files called {path.stem}. Give them different names.")
        found[path.stem] = path
    return found
