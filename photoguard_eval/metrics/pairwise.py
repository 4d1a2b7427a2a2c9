"""Similarity of two images (paper, Tables 6 and 10), by piq, and of their edited regions alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from photoguard_eval.metrics.base import PairwiseMetric, register_metric

if TYPE_CHECKING:
    import torch

DECIBELS = 20.0
"""In PSNR, from images that have nothing in common to those that are equal to the eye: equal ones are at infinity."""


def pair_by_pair(score: Callable[..., Any], edited: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Score one pair at a time: convolutions in float64 are several times slower in a batch of small images.

    Args:
        score: Takes two images, (1, 3, H, W) each, and `reduction="none"`.
        edited: Shape (N, 3, H, W).
        reference: The same shape.

    Returns:
        What `score` gives, one after the other along the first dimension.
    """
    import torch

    pairs = ((edited[index : index + 1], reference[index : index + 1]) for index in range(len(edited)))
    return torch.cat([score(image, other, reduction="none") for image, other in pairs])


@register_metric
class StructuralSimilarity(PairwiseMetric):
    """SSIM with piq's automatic down-sampling: by side / 256, rounded, so none below 384 pixels and ×2 at 512.

    It is computed in float64, since local variances are differences of nearly equal numbers where an image is flat.
    """

    name = "ssim"
    label = "SSIM"
    higher_is_more_similar = True
    lower_bound = -1.0
    minimum_size = 11
    source = "Wang et al. 2004; piq, Gaussian window 11, σ = 1.5, down-sampled by side / 256"
    table = "6"
    printed = True
    position = 4
    ranked = True
    on_board = True
    under_pictures = True
    compares_immunized = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq

        return _each(pair_by_pair(piq.ssim, edited.double(), reference.double()))


@register_metric
class PeakSignalToNoiseRatio(PairwiseMetric):
    """PSNR in decibels; 10⁻⁸ is added to the mean squared error, so that equal images give 80 dB, the most there is."""

    name = "psnr"
    label = "PSNR"
    higher_is_more_similar = True
    upper_bound = None
    scale = DECIBELS
    source = "10·log10(1 / MSE) over RGB; piq"
    table = "6"
    printed = True
    position = 5
    ranked = True
    on_board = True
    under_pictures = True
    equal_value = 80.0
    compares_immunized = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq

        return _each(piq.psnr(edited, reference, reduction="none"))


@register_metric
class VisualInformationFidelity(PairwiseMetric):
    """VIFp; not symmetric: how much of the reference's information the edit carries.

    It exceeds 1 where an edit has more contrast than the reference. It has no term for brightness: black and white are
    alike to it, and SSIM and PSNR tell them apart. A flat reference carries no information, and none of it can be lost:
    its VIFp is 1 with any edit, by the constant that stabilises the ratio, so that a reference whose own edit failed is
    no success of the attack. A flat edit of a reference with contents has a VIFp of 0. The constant is below what
    float32 resolves, where the ratio of two rounding errors would come out instead, so it is computed in float64.
    """

    name = "vifp"
    label = "VIFp"
    higher_is_more_similar = True
    upper_bound = None
    minimum_size = 41
    source = "Sheikh and Bovik 2006, pixel domain; piq"
    table = "6"
    printed = True
    position = 6
    ranked = True
    on_board = True
    equal_value = 1.0

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq

        return _each(pair_by_pair(piq.vif_p, edited.double(), reference.double()))


@register_metric
class FeatureSimilarity(PairwiseMetric):
    """FSIM with chrominance.

    Phase congruency does not depend on contrast, so that noise of one level on a flat image counts as much as contents.
    """

    name = "fsim"
    label = "FSIM"
    higher_is_more_similar = True
    scale = 0.3
    minimum_size = 16
    source = "Zhang et al. 2011, with chrominance; piq"
    table = "6"
    printed = True
    position = 7
    ranked = True
    on_board = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq

        return _each(piq.fsim(edited, reference, reduction="none"))


@register_metric
class SpectralResidualSimilarity(PairwiseMetric):
    """SR-SIM, on luminance."""

    name = "sr_sim"
    label = "SR-SIM"
    higher_is_more_similar = True
    scale = 0.2
    minimum_size = 40
    source = "Zhang and Li 2012; piq"
    table = "10"
    printed = True
    position = 8
    ranked = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq

        # piq scales the saliency maps by the extremes of the whole batch.
        return _each(pair_by_pair(piq.srsim, edited, reference))


@register_metric
class GradientMagnitudeSimilarityDeviation(PairwiseMetric):
    """GMSD: a deviation, so 0 for equal images."""

    name = "gmsd"
    label = "GMSD"
    higher_is_more_similar = False
    scale = 0.3
    minimum_size = 6
    source = "Xue et al. 2014; piq"
    table = "10"
    printed = True
    position = 9
    ranked = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq

        return _each(piq.gmsd(edited, reference, reduction="none"))


@register_metric
class VisualSaliencyInducedIndex(PairwiseMetric):
    """VSI, with chrominance.

    It compares saliency, gradients and chrominance, and has no term for brightness: two flat grays are alike to it,
    black and white too. SSIM and PSNR tell them apart.
    """

    name = "vsi"
    label = "VSI"
    higher_is_more_similar = True
    scale = 0.15
    minimum_size = 16
    source = "Zhang et al. 2014; piq"
    table = "10"
    printed = True
    position = 10
    ranked = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq

        return _each(piq.vsi(edited, reference, reduction="none"))


@register_metric
class CosineTransformSubbandSimilarity(PairwiseMetric):
    """DSS, on luminance.

    Its term for the mean of each block is a correlation, as in SSIM, so DSS is negative for images that are each
    other's negatives. Below 32 pixels a twentieth of the blocks, over which it averages, is less than one block. It is
    computed in float64 for the reason that SSIM is.
    """

    name = "dss"
    label = "DSS"
    higher_is_more_similar = True
    lower_bound = -1.0
    minimum_size = 32
    source = "Balanov et al. 2015; piq"
    table = "10"
    printed = True
    position = 11
    ranked = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq

        return _each(piq.dss(edited.double(), reference.double(), reduction="none"))


@register_metric
class HaarPerceptualSimilarity(PairwiseMetric):
    """HaarPSI, with chrominance."""

    name = "haarpsi"
    label = "HaarPSI"
    higher_is_more_similar = True
    scale = 0.75
    minimum_size = 16
    source = "Reisenhofer et al. 2018; piq"
    table = "10"
    printed = True
    position = 12
    ranked = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import piq
        import torch

        scores = _each(piq.haarpsi(edited, reference, reduction="none"))
        # Two black images have no Haar response at all, so the weights that the mean divides by are zero. Every local
        # similarity is then (0 + C) / (0 + C) = 1, and so is the limit of their weighted mean.
        black = (edited + reference).flatten(1).max(dim=1).values == 0
        return torch.where(black, torch.ones_like(scores), scores)


def _each(scores: torch.Tensor) -> torch.Tensor:
    """Give one score per pair the shape (N,), whatever trailing dimensions the library leaves."""
    return scores.reshape(len(scores), -1).mean(dim=1)
