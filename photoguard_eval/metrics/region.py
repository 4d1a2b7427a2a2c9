"""Similarity of the edited regions alone, where an edit that keeps most of the image could hide in the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics.base import PairwiseMetric, register_metric

if TYPE_CHECKING:
    import torch

LEAST_SQUARED_ERROR = 1e-8
"""Added to the squared error as piq's PSNR does, so that equal images give 80 dB."""


@register_metric
class RegionStructuralSimilarity(PairwiseMetric):
    """SSIM at full resolution, averaged over the edited pixels; in float64 for the reason that SSIM is."""

    name = "region_ssim"
    label = "SSIM of region"
    higher_is_more_similar = True
    lower_bound = -1.0
    minimum_size = 11
    source = "Wang et al. 2004; torchmetrics' map, mean over the edited pixels, Gaussian window 11, σ = 1.5"

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        import torch
        from torchmetrics.functional.image import structural_similarity_index_measure

        # Pair by pair: convolutions in float64 are several times slower in a batch of small images.
        maps = []
        for index in range(len(edited)):
            image, other = (images[index : index + 1].double() for images in (edited, reference))
            similarity = structural_similarity_index_measure(
                image, other, data_range=1.0, reduction="none", return_full_image=True
            )
            maps.append(similarity[1])
        return _mean_over_region(torch.cat(maps), masks)


@register_metric
class RegionPeakSignalToNoiseRatio(PairwiseMetric):
    """PSNR of the edited pixels."""

    name = "region_psnr"
    label = "PSNR of region"
    higher_is_more_similar = True
    upper_bound = None
    source = "10·log10(1 / MSE) over the RGB values of the edited pixels"

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        squared_error = _mean_over_region((edited - reference).square(), masks)
        return -10 * (squared_error + LEAST_SQUARED_ERROR).log10()


def _mean_over_region(values: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Average (N, 3, H, W) over channels and the pixels where the mask is 1."""
    pixels = masks.sum(dim=(1, 2, 3))
    if not bool((pixels > 0).all()):
        raise MetricError("A mask has no edited pixel, so there is no region to compare. Mark it with 1.")
    return (values * masks).sum(dim=(1, 2, 3)) / (pixels * values.shape[1])
