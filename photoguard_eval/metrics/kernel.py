"""KID: beside FID, since it is unbiased at small n."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics.base import DistributionMetric, register_metric

if TYPE_CHECKING:
    import torch


@register_metric
class KernelInceptionDistance(DistributionMetric):
    """The squared maximum mean discrepancy of the features under a cubic kernel.

    It is computed once over all images rather than averaged over random subsets, so it is deterministic. The estimate
    is unbiased for independent sets and falls below zero for sets whose images correspond, as edits of originals and
    of weakly immunized images do: compare rows, not with zero.
    """

    name = "kid"
    label = "KID"
    higher_is_more_similar = False
    lower_bound = None
    upper_bound = None
    source = "Bińkowski et al. 2018, over all images at once; torchmetrics"

    def _score(self, edited: torch.Tensor, reference: torch.Tensor) -> float:
        from torchmetrics.image.kid import poly_mmd

        if len(edited) != len(reference):
            # The library divides all three sums by the first set's size.
            raise MetricError(
                f"KID was given sets of {len(edited)} and {len(reference)} images; expected as many edits of immunized "
                "images as of originals."
            )
        return float(poly_mmd(reference, edited))
