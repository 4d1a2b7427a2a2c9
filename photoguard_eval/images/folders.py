"""Folders of images: which of their files are images, which lie there with them, and which are left out and why."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.errors import InvalidImageError
from photoguard_eval.images.files import HEIC_SUFFIXES, require_one_frame

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", *HEIC_SUFFIXES)
)
"""How the names of image files end, in lower case."""

RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")
UNREAD_SUFFIXES = frozenset((*RAW_SUFFIXES, ".jxl", ".jp2", ".psd", ".xcf", ".svg", ".apng", ".heics", ".avifs"))
"""How the names of other pictures end, which are not read."""

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})
"""What file managers leave in folders of photographs, in lower case."""

RESOURCE_FORK = "._"
"""How macOS begins the name of what it keeps beside a file on other systems' disks: `._IMG.JPG` is no image."""

MASK_ENDINGS = ("-mask", "_mask", ".mask")
"""What follows an image's name in that of its mask, where both lie in one folder."""


@dataclass(frozen=True)
class LeftOut:
    """A file that may be a picture and is not taken.

    Attributes:
        path: The file, or a folder of images.
        reason: Why, and what to do: a sentence that names it.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class FolderOfImages:
    """What lies in a folder; its other files are no pictures.

    Attributes:
        images: The images, in the order of their names.
        masks: Masks that lie beside their images, by the image's name.
        left_out: What may be a picture and is not taken.
    """

    images: tuple[Path, ...]
    masks: dict[str, Path]
    left_out: tuple[LeftOut, ...]


def name_of(path: Path) -> str:
    """Return the name of a file without its ending, with accents composed (NFC), as most systems write them.

    macOS writes "é" as two characters, so that names which look alike would not be found.
    """
    return composed(path.stem)


def composed(text: str) -> str:
    """Return a text with accents composed (NFC)."""
    return unicodedata.normalize("NFC", text)


def find_file(path: Path) -> Path | None:
    """Return the file of a path, also where its name is written with accents composed in another way; None if none."""
    if path.is_file() or not path.parent.is_dir():
        return path if path.is_file() else None
    wanted = composed(path.name)
    return next((other for other in sorted(path.parent.iterdir()) if composed(other.name) == wanted), None)


def look_into(folder: Path, apart: Collection[Path | None] = ()) -> FolderOfImages:
    """Tell what lies in a folder of images.

    A file counts as an image by how its name ends, in upper or lower case. `fox-mask.png` beside `fox.jpg` is its mask.
    Folders are not gone into: one that holds images is left out. What file managers leave behind is passed over.

    Args:
        folder: The folder.
        apart: Folders inside of it that hold something else, such as masks or outputs.
    """
    images: dict[Path, str] = {}
    left_out = []
    elsewhere = {path.resolve() for path in apart if path is not None}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(RESOURCE_FORK) or path.name.lower() in SYSTEM_FILES or path.resolve() in elsewhere:
            continue
        reason = _reason_to_leave_out(path)
        if reason:
            left_out.append(LeftOut(path, reason))
        elif path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            images[path] = name_of(path)
    names = set(images.values())
    masks = {
        owner: path
        for path, name in images.items()
        for ending in MASK_ENDINGS
        if name.endswith(ending) and (owner := name.removesuffix(ending)) in names
    }
    beside = set(masks.values())
    return FolderOfImages(tuple(path for path in images if path not in beside), masks, tuple(left_out))


def by_name(paths: Collection[Path], purpose: str) -> dict[str, Path]:
    """Return files by `name_of`.

    Args:
        paths: The files.
        purpose: What is wrong with two of the same name, for the error: "would both become {}.png".

    Raises:
        InvalidImageError: If two have the same name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        name = name_of(path)
        if name in found:
            raise InvalidImageError(f"{found[name]} and {path} {purpose.format(name)}. Rename one of them.")
        found[name] = path
    return found


def mask_of(name: str, masks: FolderOfImages) -> Path | None:
    """Find the mask of an image in a folder of masks: of the image's name, or of that and one of `MASK_ENDINGS`.

    Args:
        name: The image's, see `name_of`.
        masks: The folder.

    Raises:
        InvalidImageError: If two masks have the same name.
    """
    found = by_name(masks.images, "have the same name, {}")
    names = (name, *(f"{name}{ending}" for ending in MASK_ENDINGS))
    return next((found[known] for known in names if known in found), None)


def _reason_to_leave_out(path: Path) -> str:
    """Say why a file or folder is not taken although it may be a picture; "" if it is an image, or is none at all."""
    ending = path.suffix.lower()
    if path.is_dir():
        hidden = path.name.startswith(".")
        if not hidden and any(inside.suffix.lower() in IMAGE_SUFFIXES for inside in path.rglob("*")):
            return f"{path} is a folder inside of the folder. Give it in a call of its own."
        return ""
    if ending in UNREAD_SUFFIXES:
        return f"{path} is of a format that is not read. Save it as PNG or JPEG."
    if ending not in IMAGE_SUFFIXES:
        return f"{path} is an image whose name does not end as one's. Rename it." if _holds_an_image(path) else ""
    try:
        require_one_frame(path)
    except InvalidImageError as error:
        return str(error)
    return ""


def _holds_an_image(path: Path) -> bool:
    try:
        require_one_frame(path)
    except InvalidImageError:
        return False
    return True
