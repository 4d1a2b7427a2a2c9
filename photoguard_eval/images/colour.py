"""Colour: whatever an image file's numbers stand for, what is worked on is sRGB.

A file may carry a profile that says which colours its numbers mean: photographs of phones are in Display P3, those of
cameras often in Adobe RGB. Such an image is converted to sRGB when it is read. What is written carries no profile, and
an image without one is sRGB everywhere.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_ROUNDING = 2
"""Levels by which a conversion from sRGB to itself may differ: profiles are rounded in several ways. An image whose
profile changes no colour by more keeps its pixels."""

PROBE_LEVELS = (0, 1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 240, 255)
"""Of each channel: a profile is judged by what it does to all of their mixtures."""

SRGB_GAMMA = 1 / 2.2
"""What a PNG notes for sRGB."""

SRGB_CHROMATICITIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue, each x and y, as a PNG notes them."""

LARGEST_NOTED_DIFFERENCE = 0.01
"""By which a PNG's notes may differ from those of sRGB; they are rounded."""

CAMERA_SRGB = 1
"""What a camera notes in EXIF's ColorSpace for sRGB."""


class UnreadableProfileError(Exception):
    """A colour profile is damaged, or is for another kind of image."""


def to_srgb(image: Image) -> Image:
    """Convert an image from its profile's colours to sRGB.

    The intent is relative colorimetric with black point compensation, as in photo editors.

    Args:
        image: Without transparency, in mode L, RGB or CMYK.

    Returns:
        An RGB image if the profile was converted from; else the image as it is: if it has no profile, that of sRGB, or
        one that cannot be read.
    """
    try:
        transform = _transform(image)
    except UnreadableProfileError:
        return image
    return image if transform is None else _applied(transform, image)


def colour_remark(image: Image) -> str:
    """Say in a clause what becomes of an image's colours, where it is not what everybody expects.

    Args:
        image: As it was opened, in any mode; it need not be decoded.

    Returns:
        "" for an image that is sRGB, or says nothing.
    """
    from PIL import Image as PillowImage

    probe = PillowImage.new(_plain_mode(image.mode), (1, 1))
    probe.info = {"icc_profile": image.info.get("icc_profile")}
    try:
        transform = _transform(probe)
    except UnreadableProfileError:
        return "its colour profile cannot be read and is ignored: its colours are taken as sRGB"
    if transform is not None:
        return f"converted from {_profile_name(image.info['icc_profile'])} to sRGB"
    if image.info.get("icc_profile") or not _notes_other_colours(image):
        return ""
    return (
        "it notes other colours than sRGB and has no profile that says which: they are taken as sRGB. Save it as sRGB "
        "if they look wrong"
    )


def _plain_mode(mode: str) -> str:
    """Return the mode that an image of a mode is converted from: L, RGB or CMYK."""
    if mode in ("1", "L", "LA"):
        return "L"
    return "CMYK" if mode == "CMYK" else "RGB"


def _transform(image: Image) -> Any | None:
    """Return what converts an image to sRGB; None if that changes nothing."""
    from PIL import ImageCms

    data = image.info.get("icc_profile")
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        space = profile.profile.xcolor_space.strip()
        # Gray images with a profile of red, green and blue are common; the reverse means nothing.
        mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(space, "")
        if mode != image.mode and (image.mode, mode) != ("L", "RGB"):
            raise UnreadableProfileError
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError) as error:
        raise UnreadableProfileError from error
    return transform if mode == "CMYK" or _changes_colours(transform, mode) else None


def _applied(transform: Any, image: Image) -> Image:
    from PIL import ImageCms

    source = image if image.mode == transform.input_mode else image.convert(transform.input_mode)
    converted = ImageCms.applyTransform(source, transform)
    assert converted is not None, "only a transform in place returns nothing"
    return converted


def _changes_colours(transform: Any, mode: str) -> bool:
    import numpy as np
    from PIL import Image as PillowImage

    levels = np.array(PROBE_LEVELS, np.uint8)
    if mode == "L":
        colours = levels[None]
        plain = np.repeat(colours[..., None], 3, axis=2)
    else:
        plain = colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    converted = np.asarray(_applied(transform, PillowImage.fromarray(colours)))
    return int(np.abs(converted.astype(int) - plain.astype(int)).max()) > LARGEST_ROUNDING


def _profile_name(data: bytes) -> str:
    from PIL import ImageCms

    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(data))).strip()
    except (ImageCms.PyCMSError, OSError, ValueError):
        name = ""
    return " ".join(name.split()) or "its colour profile"


def _notes_other_colours(image: Image) -> bool:
    """Tell whether an image without a profile says that it is not sRGB: few programs heed it, and neither do we."""
    from PIL import ExifTags

    if "srgb" not in image.info:
        gamma, chromaticities = image.info.get("gamma"), image.info.get("chromaticity")
        if gamma is not None and abs(gamma - SRGB_GAMMA) > LARGEST_NOTED_DIFFERENCE:
            return True
        if chromaticities is not None:
            differences = (abs(ours - its) for ours, its in zip(SRGB_CHROMATICITIES, chromaticities, strict=False))
            if max(differences) > LARGEST_NOTED_DIFFERENCE:
                return True
    try:
        noted = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace, CAMERA_SRGB)
    except Exception:  # Pillow raises whatever damaged EXIF leads to, and it is not needed.
        return False
    return bool(noted != CAMERA_SRGB)
