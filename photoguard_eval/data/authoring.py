"""Making a dataset of one's own: of images, masks and prompts, or of another at another size."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.data.cases import COMMON_FACTOR, METADATA, Dataset, load_dataset, read_rows
from photoguard_eval.data.inspection import some
from photoguard_eval.errors import ConfigurationError, DatasetError
from photoguard_eval.files import read_text, sha256_of_file, write_atomically
from photoguard_eval.images.arrays import encode_png, read_image, require_same_size, to_8bit, write_image
from photoguard_eval.images.folders import FolderOfImages, by_name, composed, look_into, mask_of, name_of
from photoguard_eval.images.masks import read_mask, require_partial_mask

SAME_NAME = "have the same name, {}"

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


def create_dataset(
    folder: Path, images: Path, masks: Path, prompts: Path, provenance: Provenance, mask_source: str = "colour"
) -> Dataset:
    """Make a dataset's folder of images, masks and prompts; it is written whole or not at all.

    Images keep their files, and so their colour profiles: they are converted to sRGB whenever they are read.

    Args:
        folder: Where to; it must not exist, or be empty.
        images: Folder of images.
        masks: Folder of masks with the same names but for the ending: white is edited. See `folders.mask_of`.
        prompts: Text file with one edit a line: the image's name, with or without its ending, a tab, and the prompt.
        provenance: Where the images come from.
        mask_source: What marks the region to edit in the masks' files, see `masks.MaskSource`; other masks than those
            by colour are written anew, black and white.

    Raises:
        DatasetError: If the folder is taken, or images, masks and prompts do not belong together.
        InvalidImageError: If an image or mask cannot be read, they do not fit, or a mask keeps or edits everything.
    """
    _require_free(folder)
    inside, beside = _look_into(images), _look_into(masks)
    pictures = by_name(inside.images, SAME_NAME)
    wanted = _by_image(_read_prompts(prompts), pictures)
    outlines = {name: inside.masks.get(name) if masks.samefile(images) else mask_of(name, beside) for name in wanted}
    _require_found([name for name in wanted if name not in pictures], prompts, images, "image", inside)
    _require_found([name for name, outline in outlines.items() if outline is None], prompts, masks, "mask", beside)
    unused = [name for name in pictures if name not in wanted]
    if unused:
        raise DatasetError(f"{prompts} has no prompt for {some(unused)} of {images}. Add one or move the image away.")
    with _written_whole(folder) as made:
        rows = []
        seeds = itertools.count()
        for name, texts in wanted.items():
            outline = outlines[name]
            assert outline is not None, "masks that are missing were refused"
            image, mask = read_image(pictures[name]), read_mask(outline, mask_source)
            require_same_size(image, mask, name)
            require_partial_mask(mask, name)
            files = {"file_name": f"images/{composed(pictures[name].name)}"}
            _copy(pictures[name], made / files["file_name"])
            if mask_source == "colour":
                files["mask_file_name"] = f"masks/{composed(outline.name)}"
                _copy(outline, made / files["mask_file_name"])
            else:
                files["mask_file_name"] = f"masks/{name}.png"
                write_atomically(made / files["mask_file_name"], encode_png(to_8bit(mask[0])))
            rows.append({**_with_hashes(made, files), **_edits(texts, seeds), **vars(provenance)})
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
            rows.append({**row.model_dump(mode="json"), **_with_hashes(made, names)})
        _write_rows(made, rows)
        card = dataset.path / "README.md"
        before = read_text(card) if card.is_file() else f"# {dataset.name}\n"
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


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _with_hashes(folder: Path, names: Mapping[str, str]) -> Mapping[str, str]:
    """Return the fields of the metadata that name an image and its mask, and their hashes."""
    image, mask = folder / names["file_name"], folder / names["mask_file_name"]
    return {**names, "sha256": sha256_of_file(image), "mask_sha256": sha256_of_file(mask)}


def _edits(prompts: Sequence[str], seeds: Iterator[int]) -> Mapping[str, object]:
    return {"prompts": list(prompts), "seeds": [next(seeds) for _ in prompts]}


def _read_prompts(path: Path) -> list[tuple[str, str]]:
    """Read the pairs of an image's name and a prompt."""
    try:
        # Some editors begin a file with a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} cannot be read ({error}). Give a text file, an image and a prompt a line."
        ) from error
    edits = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        name, tab, prompt = line.partition("\t")
        if not (name.strip() and tab and prompt.strip()):
            raise DatasetError(f"{path}, line {number}: expected the image's name, a tab and a prompt, found {line!r}.")
        edits.append((composed(name.strip()), prompt.strip()))
    if not edits:
        raise DatasetError(f"{path} has no prompts. Write one edit a line: the image's name, a tab and the prompt.")
    return edits


def _by_image(edits: Sequence[tuple[str, str]], pictures: Mapping[str, Path]) -> dict[str, list[str]]:
    """Group prompts by image, which may have been named with the ending of its file."""
    with_ending = {composed(path.name).casefold(): name for name, path in pictures.items()}
    prompts: dict[str, list[str]] = {}
    for given, prompt in edits:
        name = given if given in pictures else with_ending.get(given.casefold(), given)
        prompts.setdefault(name, []).append(prompt)
    return prompts


def _look_into(folder: Path) -> FolderOfImages:
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder. Give one that holds PNG, JPEG or WebP files.")
    return look_into(folder)


def _require_found(missing: Sequence[str], prompts: Path, folder: Path, what: str, contents: FolderOfImages) -> None:
    """Check that nothing is missing, and say of what is there and was left out why it was."""
    if missing:
        reasons = [left.reason for left in contents.left_out if {name_of(left.path), left.path.name} & set(missing)]
        advice = " ".join(reasons) or "Add it."
        raise DatasetError(f"{prompts} names {some(missing)}, of which {folder} has no {what}. {advice}")
