"""Image files: opening and decoding them, with errors that say what Pillow's mean.

Only what is needed for the pixels is needed here: notes in a file, however long or damaged, do not keep it from being
read.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from photoguard_eval.errors import InvalidImageError
from photoguard_eval.images import colour

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

ACCEPTED_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")

HEIC_SUFFIXES = (".heic", ".heif")
HEIC_EXTRA = "reading it needs the extra `heic`: pip install 'photoguard-eval[heic]'"

SEVERAL_PICTURES_OF_ONE_SCENE = ("MPO", "HEIF")
"""Formats whose further frames are not an animation: previews, depth, the second eye. The first is the photograph."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")

Result = TypeVar("Result")


def decode(file: Path | bytes, name: str = "") -> Image:
    """Decode an image file: upright, RGB, sRGB, transparency over white.

    Args:
        file: The path of a file, or its content.
        name: What to call it in an error; its path by default.

    Raises:
        InvalidImageError: If the file is missing, unreadable, animated or of an unsupported mode.
    """
    name = name or _name(file)
    return as_rgb(decode_as_stored(file, name), name)


def decode_as_stored(file: Path | bytes, name: str = "") -> Image:
    """Decode an image file, upright, in the file's own mode and colours; see `decode`."""

    def load(image: ImageFile) -> Image:
        from PIL.Image import Transpose

        _require_one_frame(image, name or _name(file))
        _require_8bit(image, name or _name(file))
        image.load()
        # Asked for once it is loaded: Pillow turns some formats itself, and then says that they are upright.
        turn = {
            2: Transpose.FLIP_LEFT_RIGHT,
            3: Transpose.ROTATE_180,
            4: Transpose.FLIP_TOP_BOTTOM,
            5: Transpose.TRANSPOSE,
            6: Transpose.ROTATE_270,
            7: Transpose.TRANSVERSE,
            8: Transpose.ROTATE_90,
        }.get(_orientation(image))
        return image.copy() if turn is None else image.transpose(turn)

    return _with_opened(file, name, load)


def read_size(file: Path | str | bytes) -> tuple[int, int]:
    """Return the height and width that `decode` would give, without decoding the pixels.

    Args:
        file: The path of a file, or its content.

    Raises:
        InvalidImageError: If the file is missing or no image.
    """

    def size(image: ImageFile) -> tuple[int, int]:
        width, height = image.size
        if image.format == "TIFF":
            from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH

            # Newer versions of Pillow swap the sides of a TIFF already, older ones do not: ask for what is stored.
            tags: Any = getattr(image, "tag_v2", {})
            width, height = tags.get(IMAGEWIDTH, width), tags.get(IMAGELENGTH, height)
        return (width, height) if _orientation(image) in (5, 6, 7, 8) else (height, width)

    return _with_opened(file if isinstance(file, bytes) else Path(file), "", size)


def colour_remark(path: Path | str) -> str:
    """Say in a clause what becomes of a file's colours when it is read; "" where nothing does.

    Raises:
        InvalidImageError: If the file is missing or no image.
    """
    return _with_opened(Path(path), "", colour.colour_remark)


def require_one_frame(path: Path | str) -> None:
    """Check that a file is an image that is not animated, without decoding its pixels.

    Raises:
        InvalidImageError: If the file is missing, no image, or holds several pictures.
    """
    _with_opened(Path(path), "", lambda image: _require_one_frame(image, str(path)))


def as_rgb(image: Image, name: str) -> Image:
    """Convert a decoded image to RGB: sRGB, with transparency composited over white.

    Args:
        image: The image.
        name: What to call it in an error.

    Raises:
        InvalidImageError: If its mode is not supported.
    """
    from PIL import Image as PillowImage

    require_mode(image, name)
    if has_transparency(image):
        layer = image.convert("RGBA")
        red, green, blue = _in_srgb(layer.convert("RGB"), image).split()
        layer = PillowImage.merge("RGBA", (red, green, blue, layer.getchannel("A")))
        white = PillowImage.new("RGBA", layer.size, (255, 255, 255, 255))
        return PillowImage.alpha_composite(white, layer).convert("RGB")
    plain = image if image.mode in ("L", "CMYK") else image.convert("RGB" if image.mode != "1" else "L")
    return _in_srgb(plain, image).convert("RGB")


def require_mode(image: Image, name: str) -> None:
    """Check that an image's mode is one that can be converted to 8-bit RGB.

    Raises:
        InvalidImageError: If it is not.
    """
    if image.mode not in ACCEPTED_MODES:
        raise InvalidImageError(
            f"{name} has mode {image.mode}; expected one of {', '.join(ACCEPTED_MODES)}. Convert it to 8-bit RGB first."
        )


def has_transparency(image: Image) -> bool:
    """Tell whether a decoded image has an alpha channel, or a colour that counts as transparent."""
    return image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info


def _in_srgb(plain: Image, image: Image) -> Image:
    """Convert the plain form of an image by the profile that the image came with."""
    plain.info = {"icc_profile": image.info.get("icc_profile")}
    return colour.to_srgb(plain)


def _with_opened(file: Path | bytes, name: str, read: Callable[[ImageFile], Result]) -> Result:
    """Open an image file and read of it, and say what Pillow's errors mean: for damaged files it raises several."""
    from PIL import Image

    name = name or _name(file)
    if isinstance(file, Path):
        if not file.is_file():
            raise InvalidImageError(f"There is no image file {name}. Check the path.")
        _require_decoder(file, name)
    try:
        with warnings.catch_warnings():
            # Of damaged notes, and of many pixels that are still few enough.
            warnings.filterwarnings("ignore", module="PIL")
            try:
                with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
                    return read(image)
            except ValueError:
                content = file if isinstance(file, bytes) else file.read_bytes()
                if not content.startswith(PNG_SIGNATURE):
                    raise
                # Pillow refuses a PNG for notes that are long once decompressed, such as what drew it or its history.
                with Image.open(io.BytesIO(_without_texts(content))) as image:
                    return read(image)
    except Image.DecompressionBombError as error:
        raise InvalidImageError(_too_many_pixels(name, str(error))) from error
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:
        raise InvalidImageError(
            f"{name} cannot be read as an image ({error}). Give a whole PNG, JPEG or WebP file."
        ) from error


def _name(file: Path | bytes) -> str:
    return "The image" if isinstance(file, bytes) else str(file)


def _too_many_pixels(name: str, message: str) -> str:
    from PIL import Image

    limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    counted = re.search(r"\((\d+) pixels\)", message)
    has = f"{int(counted[1]) / 1e6:.0f} megapixels" if counted else "too many pixels"
    return f"{name} has {has}; at most {limit / 1e6:.0f} are read. Resize or crop it first."


def _without_texts(png: bytes) -> bytes:
    """Return a PNG without its chunks of text."""
    parts, place = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while place < len(png):
        end = place + int.from_bytes(png[place : place + 4], "big") + 12
        if png[place + 4 : place + 8] not in PNG_TEXTS:
            parts.append(png[place:end])
        place = end
    return b"".join(parts)


def _require_decoder(path: Path, name: str) -> None:
    """Check that what decodes a file is installed, and have Pillow use it."""
    if not _is_heic(path):
        return
    try:
        import pillow_heif
    except ImportError as error:
        raise InvalidImageError(f"{name} is a HEIC photograph, and {HEIC_EXTRA}. Or save it as PNG.") from error
    pillow_heif.register_heif_opener()


def _is_heic(path: Path) -> bool:
    """Tell whether a file is HEIC by its first bytes: `ftyp`, and a brand of that family."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    brand = start[8:12]
    return start[4:8] == b"ftyp" and (brand[:2] == b"he" or (brand == b"mif1" and path.suffix.lower() in HEIC_SUFFIXES))


def _orientation(image: Image) -> int:
    from PIL import ExifTags

    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Pillow raises whatever damaged EXIF leads to; the pixels are whole all the same.
        return 1


def _require_one_frame(image: ImageFile, name: str) -> None:
    count = 1 if image.format in SEVERAL_PICTURES_OF_ONE_SCENE else int(getattr(image, "n_frames", 1))
    if count > 1:
        raise InvalidImageError(f"{name} is animated or has several pages ({count}). Give a single one as a file.")


def _require_8bit(image: ImageFile, name: str) -> None:
    """Refuse what Pillow would cut down to 8 bits without a word: its mode is RGB, only the raw mode tells."""
    if ";16" in str(image.tile):
        raise InvalidImageError(f"{name} has 16 bits a channel; expected 8. Convert it to 8-bit RGB first.")
