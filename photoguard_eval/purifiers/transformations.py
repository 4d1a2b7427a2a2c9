"""The classical transformations, by kornia: compression, noise, blur and small changes of geometry.

Defaults are what the literature on immunization uses most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.purifiers.base import Purifier, register_purifier

if TYPE_CHECKING:
    import torch

    from photoguard_eval.randomness import CaseGenerators


@register_purifier
class JpegPurifier(Purifier):
    """Compress as JPEG does, with a soft rounding through which gradients pass (Shin and Song 2017)."""

    name = "jpeg"
    axes = ("quality",)
    differentiable = True

    def __init__(self, *, quality: float = 75.0) -> None:
        """Set the quality.

        Args:
            quality: 1 to 100, as of the IJG's encoder.

        Raises:
            ConfigurationError: If it is out of range.
        """
        if not 1 <= quality <= 100:
            raise ConfigurationError(f"quality is {quality:g}; expected 1 to 100.")
        self.quality = quality

    def purify(self, images: torch.Tensor, generators: CaseGenerators) -> torch.Tensor:
        """See `Purifier.purify`."""
        from kornia.enhance import JPEGCodecDifferentiable

        del generators
        codec = JPEGCodecDifferentiable().to(images)
        qualities = images.new_full((len(images),), self.quality)
        compressed: torch.Tensor = codec(images, jpeg_quality=qualities).clamp(0, 1)
        return compressed


@register_purifier
class NoisePurifier(Purifier):
    """Add Gaussian noise."""

    name = "gaussian-noise"
    axes = ("deviation",)
    differentiable = True

    def __init__(self, *, deviation: float = 0.05) -> None:
        """Set the strength.

        Args:
            deviation: Standard deviation, for images in [0, 1].

        Raises:
            ConfigurationError: If it is negative.
        """
        if deviation < 0:
            raise ConfigurationError(f"deviation is {deviation:g}; expected 0 or more.")
        self.deviation = deviation

    def purify(self, images: torch.Tensor, generators: CaseGenerators) -> torch.Tensor:
        """See `Purifier.purify`."""
        noised: torch.Tensor = images + self.deviation * generators.normal(images.shape[1:], images)
        return noised.clamp(0, 1)


@register_purifier
class BlurPurifier(Purifier):
    """Blur with a Gaussian kernel."""

    name = "blur"
    axes = ("sigma",)
    differentiable = True

    def __init__(self, *, size: int = 5, sigma: float = 1.5) -> None:
        """Set the kernel.

        Args:
            size: Its side in pixels, odd.
            sigma: Its standard deviation in pixels.

        Raises:
            ConfigurationError: If the size is not odd or the deviation not positive.
        """
        _require_odd(size)
        if not sigma > 0:
            raise ConfigurationError(f"sigma is {sigma:g}; expected more than 0.")
        self.size = size
        self.sigma = sigma

    def purify(self, images: torch.Tensor, generators: CaseGenerators) -> torch.Tensor:
        """See `Purifier.purify`."""
        from kornia.filters import gaussian_blur2d

        del generators
        blurred: torch.Tensor = gaussian_blur2d(images, self.size, (self.sigma, self.sigma))
        return blurred


@register_purifier
class RotationPurifier(Purifier):
    """Rotate about the centre, with the edge mirrored into what comes into view."""

    name = "rotation"
    axes = ("degrees",)
    differentiable = True

    def __init__(self, *, degrees: float = 5.0) -> None:
        """Set the angle.

        Args:
            degrees: Counter-clockwise.
        """
        self.degrees = degrees

    def purify(self, images: torch.Tensor, generators: CaseGenerators) -> torch.Tensor:
        """See `Purifier.purify`."""
        from kornia.geometry.transform import rotate

        del generators
        angles = images.new_full((len(images),), self.degrees)
        rotated: torch.Tensor = rotate(images, angles, padding_mode="reflection")
        return rotated.clamp(0, 1)


@register_purifier
class CropPurifier(Purifier):
    """Cut the middle out and enlarge it to the old size."""

    name = "crop"
    axes = ("share",)
    differentiable = True

    def __init__(self, *, share: float = 0.9) -> None:
        """Set how much is left.

        Args:
            share: Of each side, more than 0 to 1.

        Raises:
            ConfigurationError: If it is out of range.
        """
        if not 0 < share <= 1:
            raise ConfigurationError(f"share is {share:g}; expected more than 0 and at most 1.")
        self.share = share

    def purify(self, images: torch.Tensor, generators: CaseGenerators) -> torch.Tensor:
        """See `Purifier.purify`."""
        from torch.nn.functional import interpolate

        del generators
        height, width = images.shape[-2:]
        rows, columns = (max(1, round(side * self.share)) for side in (height, width))
        top, left = (height - rows) // 2, (width - columns) // 2
        middle = images[..., top : top + rows, left : left + columns]
        return interpolate(middle, size=(height, width), mode="bilinear", align_corners=False).clamp(0, 1)


@register_purifier
class MedianPurifier(Purifier):
    """Take the median of each pixel's neighbourhood."""

    name = "median"
    axes = ("size",)
    differentiable = True

    def __init__(self, *, size: int = 3) -> None:
        """Set the neighbourhood.

        Args:
            size: Its side in pixels, odd.

        Raises:
            ConfigurationError: If it is not odd.
        """
        _require_odd(size)
        self.size = size

    def purify(self, images: torch.Tensor, generators: CaseGenerators) -> torch.Tensor:
        """See `Purifier.purify`."""
        from kornia.filters import median_blur

        del generators
        filtered: torch.Tensor = median_blur(images, self.size)
        return filtered


@register_purifier
class BitDepthPurifier(Purifier):
    """Round to fewer levels, which has no gradient."""

    name = "bit-depth"
    axes = ("bits",)
    differentiable = False

    def __init__(self, *, bits: int = 4) -> None:
        """Set the depth.

        Args:
            bits: Of each channel value, 1 to 8.

        Raises:
            ConfigurationError: If it is out of range.
        """
        if not 1 <= bits <= 8:
            raise ConfigurationError(f"bits is {bits}; expected 1 to 8.")
        self.bits = bits

    def purify(self, images: torch.Tensor, generators: CaseGenerators) -> torch.Tensor:
        """See `Purifier.purify`."""
        del generators
        levels = 2**self.bits - 1
        rounded: torch.Tensor = (images * levels).round() / levels
        return rounded


def _require_odd(size: int) -> None:
    if size < 1 or size % 2 == 0:
        raise ConfigurationError(f"size is {size}; expected an odd number of pixels.")
