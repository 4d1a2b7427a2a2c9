"""BlurGuard: an encoder attack whose perturbation is as smooth as the image, region by region."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from photoguard_eval.attacks.base import register_attack
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.encoder import EncoderAttack
from photoguard_eval.attacks.fields import parameters

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


SIGMAS = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Standard deviations of the blur to choose from, in pixels; 0 is none."""

SMALLEST_REGION = 1 / 64
"""Of the image: what the segmentation joins with its neighbours."""

TAPER = 8
"""Pixels over which a region fades in where its spectrum is measured."""

BANDS = 16
"""Of the spectrum, from low to high frequencies."""


@register_attack
@parameters
class BlurGuardAttack(EncoderAttack):
    """Minimise the encoder attack's loss over perturbations that are blurred, each region with a Gaussian of its own.

    The width is the one for which the spectrum of blurred noise has the slope of the image's there. A perturbation like
    that is less visible and survives compression and smoothing. The blur is an average within the region, weighted to
    one, so that it never leaves the region nor the ball; of an ℓ2 ball it could by less than a hundredth, and is
    brought back.
    """

    name = "blurguard"
    title = "BlurGuard"
    paper = "Kim et al. 2025, BlurGuard: A Simple Approach for Robustifying Image Protection"

    target: str = "pattern"
    decay: bool = False

    def parametrisation(self, batch: AttackBatch) -> Callable[[torch.Tensor], torch.Tensor]:
        """See `GradientAttack.parametrisation`."""
        blur = RegionBlur(batch.images, batch.kept)
        if batch.budget.norm == "linf":
            return blur
        return lambda images: batch.budget.project(batch.images, blur(images) - batch.images)


class RegionBlur:
    """Blurs perturbations of some images within regions of theirs.

    Attributes:
        sigmas: For each image the standard deviation of each region's blur.
    """

    def __init__(self, images: torch.Tensor, kept: torch.Tensor) -> None:
        """Find regions and the width of the blur in each.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].
            kept: Shape (N, 1, H, W), 1 = may be perturbed.
        """
        import torch

        self._images = images
        self.sigmas: list[list[float]] = []
        self._regions = []
        for image, allowed in zip(images.cpu().numpy(), kept.cpu().numpy(), strict=True):
            regions = find_regions(image, allowed[0])
            self.sigmas.append([matching_sigma(image.mean(axis=0), region) for region in regions])
            self._regions.append(torch.from_numpy(regions).to(images))

    def __call__(self, perturbed: torch.Tensor) -> torch.Tensor:
        """Blur what was added to the images, (N, 3, H, W)."""
        import torch

        rows = []
        for image, moved, regions, sigmas in zip(self._images, perturbed, self._regions, self.sigmas, strict=True):
            perturbation = moved - image
            blurred = torch.zeros_like(perturbation)
            for region, sigma in zip(regions, sigmas, strict=True):
                blurred = blurred + blur_within(perturbation, region, sigma)
            rows.append(image + blurred)
        return torch.stack(rows).clamp(0, 1)


def find_regions(image: NDArray[np.float32], kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """Segment the kept part of an image (Felzenszwalb and Huttenlocher 2004).

    Args:
        image: Shape (3, H, W) in [0, 1].
        kept: Shape (H, W), 1 = kept.

    Returns:
        Shape (regions, H, W), float32: ones in each region. Together they are the kept part.
    """
    import numpy as np
    from skimage.segmentation import felzenszwalb

    labels = felzenszwalb(
        image.transpose(1, 2, 0), scale=200, sigma=0.5, min_size=max(4, round(SMALLEST_REGION * kept.size))
    )
    inside = kept > 0.5
    regions = [(labels == label) & inside for label in np.unique(labels[inside])]
    return np.array(regions, dtype=np.float32).reshape(len(regions), *kept.shape)


def matching_sigma(luminance: NDArray[np.float32], region: NDArray[np.float32]) -> float:
    """Return the blur for which noise has the spectrum of an image in a region, but for a factor.

    Args:
        luminance: Shape (H, W).
        region: Shape (H, W), 1 = in the region.
    """
    import numpy as np
    from scipy.ndimage import distance_transform_edt

    # A hard edge has a spectrum of its own, which would hide that of a smooth image.
    window = np.minimum(distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1] / TAPER, 1)
    mean = float((luminance * window).sum() / window.sum())
    wanted = _band_energies((luminance - mean) * window)
    frequencies = _frequencies(luminance.shape)
    noise = np.random.default_rng(0).standard_normal(luminance.shape)

    def mismatch(sigma: float) -> float:
        # The transfer function of a Gaussian blur, on noise within the region.
        transfer = np.exp(-2 * (np.pi * sigma * frequencies) ** 2)
        smooth = np.fft.ifft2(np.fft.fft2(noise) * transfer).real * window
        difference = np.log(_band_energies(smooth) + 1e-12) - np.log(wanted + 1e-12)
        return float(difference.std())

    return min(SIGMAS, key=mismatch)


def blur_within(perturbation: torch.Tensor, region: torch.Tensor, sigma: float) -> torch.Tensor:
    """Average a perturbation over a region with Gaussian weights that sum to one there.

    Args:
        perturbation: Shape (3, H, W).
        region: Shape (H, W), 1 = in the region.
        sigma: Standard deviation in pixels; 0 for none.

    Returns:
        Shape (3, H, W), zero outside of the region and nowhere larger than the largest value within.
    """
    from kornia.filters import gaussian_blur2d

    if sigma == 0:
        return perturbation * region
    size = 2 * round(3 * sigma) + 1
    inside = region[None, None]
    summed = gaussian_blur2d((perturbation * region)[None], size, (sigma, sigma), border_type="constant")
    weights = gaussian_blur2d(inside, size, (sigma, sigma), border_type="constant").clamp_min(1e-6)
    averaged: torch.Tensor = (summed / weights * inside)[0]
    return averaged


def _frequencies(shape: tuple[int, ...]) -> NDArray[np.float64]:
    import numpy as np

    rows, columns = (np.fft.fftfreq(side) for side in shape)
    radii: NDArray[np.float64] = np.hypot(rows[:, None], columns[None])
    return radii


def _band_energies(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean energy in bands of equal width up to half a cycle per pixel, without those that are empty."""
    import numpy as np

    energy = np.abs(np.fft.fft2(values)) ** 2
    bands = np.minimum((_frequencies(values.shape) * 2 * BANDS).astype(int), BANDS - 1).ravel()
    counts = np.bincount(bands, minlength=BANDS)
    means: NDArray[np.float64] = np.bincount(bands, energy.ravel(), BANDS)[counts > 0] / counts[counts > 0]
    return means
