"""The one image convention: float32, NCHW, RGB, values in [0, 1]; and the 8-bit files that stand for it.

What is attacked, edited and measured is always the decoded 8-bit file, so every image that leaves the package
goes through `to_8bit`, which rounds (a plain cast truncates and would add up to one level). It is sRGB, and its file
carries no colour profile: every program takes an image without one for sRGB.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.errors import ConfigurationError, InvalidImageError
from photoguard_eval.files import write_atomically
from photoguard_eval.images.files import decode

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

LEVELS = 255
"""Levels of an 8-bit channel above black; budgets in levels are fractions of this."""


def read_image(path: Path | str) -> torch.Tensor:
    """Read an image file as one RGB image, in sRGB.

    Palette, gray, CMYK and YCbCr images are converted to RGB, and all from the colours of their profile to sRGB, see
    `photoguard_eval.images.colour`; transparency is composited over white; the EXIF orientation is applied. PNG and
    TIFF files of more than 8 bits a channel are refused, since rounding them would be an edit of its own.

    Args:
        path: An image file that Pillow can read.

    Returns:
        Shape (1, 3, H, W), float32 in [0, 1], each value a multiple of 1/255.

    Raises:
        InvalidImageError: If the file is missing, unreadable, animated or of an unsupported mode.
    """
    return from_8bit(_pixels(decode(Path(path))))


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


def require_output(path: Path, inputs: Sequence[Path]) -> None:
    """Check, before any work, that an image can be written to a path and that nothing is lost by it.

    Args:
        path: Where the image is to go.
        inputs: Files that it is made from.

    Raises:
        InvalidImageError: If the path does not end in `.png`.
        ConfigurationError: If its folder does not exist, or it is one of the inputs.
    """
    require_png(path)
    if not path.parent.is_dir():
        raise ConfigurationError(f"There is no folder {path.parent} for {path.name}. Make it, or check the path.")
    for file in inputs:
        if path.exists() and file.exists() and path.samefile(file):
            raise ConfigurationError(f"{path} would overwrite {file}, which it is made from. Give another output.")


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


def require_multiple_of(side: int, factor: int, name: str) -> None:
    """Check that a side that was asked for is one that a model takes.

    Args:
        side: In pixels.
        factor: Pixels per latent, including what the UNet halves further.
        name: What to call the side in an error.

    Raises:
        ConfigurationError: If it is not a positive multiple.
    """
    if side < 1 or side % factor:
        nearest = max(factor, round(side / factor) * factor)
        raise ConfigurationError(
            f"{name} is {side}; expected a positive multiple of {factor}, as the model needs it, such as {nearest}."
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


def _pixels(image: Image) -> torch.Tensor:
    import numpy as np
    import torch

    array = np.array(image, dtype=np.uint8)
    if array.ndim == 2:
        array = array[..., None]
    return torch.from_numpy(array).permute(2, 0, 1).unsqueeze(0).contiguous()
