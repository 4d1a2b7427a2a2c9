"""The one image convention: float32, NCHW, RGB, values in [0, 1]; and the 8-bit files that stand for it.

What is attacked, edited and measured is always the decoded 8-bit file, so every image that leaves the package
goes through `to_8bit`, which rounds (a plain cast truncates and would add up to one level).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.errors import InvalidImageError
from photoguard_eval.files import write_atomically

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

LEVELS = 255
"""Levels of an 8-bit channel above black; budgets in levels are fractions of this."""

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
"""How the names of files end that are taken for images when a folder is given."""

ACCEPTED_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def read_image(path: Path | str) -> torch.Tensor:
    """Read an image file as one RGB image.

    Palette, gray, CMYK and YCbCr images are converted to RGB; transparency is composited over white; the EXIF
    orientation is applied. PNG and TIFF files of more than 8 bits a channel are refused, since rounding them would be
    an edit of its own.

    Args:
        path: An image file that Pillow can read.

    Returns:
        Shape (1, 3, H, W), float32 in [0, 1], each value a multiple of 1/255.

    Raises:
        InvalidImageError: If the file is missing, unreadable or of an unsupported mode.
    """
    return from_8bit(_pixels(as_rgb(_open(Path(path)), Path(path))))


def read_mask(path: Path | str) -> torch.Tensor:
    """Read a mask file: values of 128 and more mean "edit here".

    Returns:
        Shape (1, 1, H, W), float32, each value 0 (keep) or 1 (edit).

    Raises:
        InvalidImageError: If the file is missing or unreadable.
    """
    import torch

    image = as_rgb(_open(Path(path)), Path(path)).convert("L")
    return (_pixels(image) >= 128).to(torch.float32)


def read_size(path: Path | str) -> tuple[int, int]:
    """Return the height and width that `read_image` would give, without decoding the pixels.

    Raises:
        InvalidImageError: If the file is missing or no image.
    """
    from PIL import ExifTags

    with _opened(Path(path)) as image:
        lies_on_its_side = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return (image.width, image.height) if lies_on_its_side else (image.height, image.width)


def to_8bit(images: torch.Tensor) -> torch.Tensor:
    """Round images in [0, 1] to 8 bits.

    Args:
        images: Any shape, float; values outside of [0, 1] are clipped.

    Returns:
        The same shape, uint8 in [0, 255].
    """
    import torch

    return (images.detach().float().clamp(0, 1) * LEVELS).round().to(torch.uint8)


def from_8bit(levels: torch.Tensor) -> torch.Tensor:
    """Turn 8-bit levels back into float32 in [0, 1], same shape."""
    import torch

    return levels.to(torch.float32) / LEVELS


def encode_png(levels: torch.Tensor) -> bytes:
    """Encode one 8-bit image as PNG.

    Args:
        levels: Shape (3, H, W) or (1, H, W), uint8.

    Returns:
        The bytes of a PNG file without a time stamp, the same for the same pixels and Pillow version.
    """
    from PIL import Image

    array = levels.permute(1, 2, 0).contiguous().cpu().numpy()
    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def decode_png(data: bytes, name: str = "image") -> torch.Tensor:
    """Decode an RGB PNG to shape (1, 3, H, W), float32 in [0, 1].

    Args:
        data: The bytes of the file.
        name: What to call it in an error.

    Raises:
        InvalidImageError: If the bytes are no image.
    """
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidImageError(f"{name} is no readable image: {error}.") from error
    return from_8bit(_pixels(image.convert("RGB")))


def write_image(path: Path | str, image: torch.Tensor) -> None:
    """Write one image as an 8-bit PNG, atomically.

    Args:
        path: A path that ends in `.png`.
        image: Shape (1, 3, H, W), float in [0, 1].

    Raises:
        InvalidImageError: If the path does not end in `.png`; a lossy format would change the perturbation.
        StoreError: If the file cannot be written.
    """
    path = require_png(path)
    write_atomically(path, encode_png(to_8bit(image)[0]))


def require_png(path: Path | str) -> Path:
    """Return the path if it names a PNG file, the only format that images are written in.

    Raises:
        InvalidImageError: If the path ends otherwise.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InvalidImageError(
            f"{path} does not end in .png. Images are written as PNG only, since a lossy format would change the "
            "perturbation; give the output a name that ends in .png."
        )
    return path


def require_same_size(image: torch.Tensor, mask: torch.Tensor, name: str) -> None:
    """Check that an image and its mask have the same height and width.

    Raises:
        InvalidImageError: If they differ.
    """
    if image.shape[-2:] != mask.shape[-2:]:
        raise InvalidImageError(
            f"{name}: the image is {_size(image)} and the mask {_size(mask)} (width × height). "
            "Give a mask of exactly the image's size."
        )


def not_finite(images: torch.Tensor, names: Sequence[str]) -> list[str]:
    """Return the names of the images that hold NaN or infinite values.

    Args:
        images: Shape (N, 3, H, W).
        names: N names.
    """
    finite = images.isfinite().flatten(1).all(dim=1).tolist()
    return [name for name, whole in zip(names, finite, strict=True) if not whole]


def image_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are images by the ends of their names, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def require_partial_mask(mask: torch.Tensor, name: str) -> None:
    """Check that a mask keeps something and edits something.

    Raises:
        InvalidImageError: If the mask is all keep or all edit.
    """
    edited = float(mask.mean())
    if edited in (0.0, 1.0):
        raise InvalidImageError(
            f"{name}: the mask {'keeps' if edited == 0 else 'edits'} every pixel. A mask needs white where the "
            "image is to be edited and black where it is kept, and at least one pixel of each."
        )


def require_multiple(image: torch.Tensor, factor: int, name: str) -> None:
    """Check that an image's sides are multiples of a model's down-sampling factor.

    Args:
        image: Shape (..., H, W).
        factor: Pixels per latent, including what the UNet halves further.
        name: What to call the image in an error.

    Raises:
        InvalidImageError: If a side is not a multiple.
    """
    height, width = image.shape[-2:]
    if height % factor or width % factor:
        nearest = [max(factor, round(side / factor) * factor) for side in (width, height)]
        raise InvalidImageError(
            f"{name} is {_size(image)}, but the model needs both sides to be multiples of {factor}. "
            f"Resize or crop it, for example to {nearest[0]} × {nearest[1]}."
        )


def _size(image: torch.Tensor) -> str:
    return f"{image.shape[-1]} × {image.shape[-2]}"


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    """Open an image file, and say what Pillow's errors mean: for damaged files it raises several kinds."""
    from PIL import Image

    if not path.is_file():
        raise InvalidImageError(f"There is no image file {path}. Check the path.")
    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidImageError(
            f"{path} cannot be read as an image ({error}). Give a whole PNG, JPEG or WebP file."
        ) from error


def _open(path: Path) -> Image:
    from PIL import ImageOps

    with _opened(path) as image:
        _require_8bit(image, path)
        image.load()
        return ImageOps.exif_transpose(image)


def _require_8bit(image: ImageFile, path: Path) -> None:
    """Refuse what Pillow would cut down to 8 bits without a word: its mode is RGB, only the raw mode tells."""
    if ";16" in str(image.tile):
        raise InvalidImageError(f"{path} has 16 bits a channel; expected 8. Convert it to 8-bit RGB first.")


def as_rgb(image: Image, path: Path) -> Image:
    """Convert a decoded image to RGB by the rules of `read_image`.

    Args:
        image: The image.
        path: Where it comes from, for the error.

    Raises:
        InvalidImageError: If its mode is not supported.
    """
    from PIL import Image as PillowImage

    if image.mode not in ACCEPTED_MODES:
        raise InvalidImageError(
            f"{path} has mode {image.mode}; expected one of {', '.join(ACCEPTED_MODES)}. Convert it to 8-bit RGB first."
        )
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = PillowImage.new("RGBA", layer.size, (255, 255, 255, 255))
        return PillowImage.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _pixels(image: Image) -> torch.Tensor:
    import numpy as np
    import torch

    array = np.array(image, dtype=np.uint8)
    if array.ndim == 2:
        array = array[..., None]
    return torch.from_numpy(array).permute(2, 0, 1).unsqueeze(0).contiguous()
