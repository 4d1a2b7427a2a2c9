"""Similarity of the edited regions alone, where an edit that keeps most of the image could hide in the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics.base import PairwiseMetric, register_metric
from photoguard_eval.metrics.pairwise import DECIBELS, pair_by_pair

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
    position = 15
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return _mean_over_region(pair_by_pair(_similarity_map, edited.double(), reference.double()), masks)


@register_metric
class RegionPeakSignalToNoiseRatio(PairwiseMetric):
    """PSNR of the edited pixels."""

    name = "region_psnr"
    label = "PSNR of region"
    higher_is_more_similar = True
    upper_bound = None
    scale = DECIBELS
    source = "10·log10(1 / MSE) over the RGB values of the edited pixels"
    position = 16
    equal_value = 80.0
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        squared_error = _mean_over_region((edited - reference).square(), masks)
        return -10 * (squared_error + LEAST_SQUARED_ERROR).log10()


def _similarity_map(edited: torch.Tensor, reference: torch.Tensor, *, reduction: Literal["none"]) -> torch.Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure

    similarity = structural_similarity_index_measure(
        edited, reference, data_range=1.0, reduction=reduction, return_full_image=True
    )
    return similarity[1]


def _mean_over_region(values: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Average (N, 3, H, W) over channels and the pixels where the mask is 1."""
    pixels = masks.sum(dim=(1, 2, 3))
    if not bool((pixels > 0).all()):
        raise MetricError("A mask has no edited pixel, so there is no region to compare. Mark it with 1.")
    return (values * masks).sum(dim=(1, 2, 3)) / (pixels * values.shape[1])
