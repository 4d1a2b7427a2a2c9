"""Similarity to a network's eye, where its weights are cached; how the field says whether a change can be seen."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

from photoguard_eval.metrics.base import PairwiseMetric, register_metric
from photoguard_eval.metrics.hub import HubWeights

if TYPE_CHECKING:
    import torch


@register_metric
class LearnedPerceptualSimilarity(PairwiseMetric):
    """LPIPS: a distance, so 0 for equal images.

    The weights of its layers come with torchmetrics, those of AlexNet do not.
    """

    name = "lpips"
    label = "LPIPS"
    higher_is_more_similar = False
    upper_bound = None
    minimum_size = 31
    source = "Zhang et al. 2018, version 0.1 on AlexNet; torchmetrics"
    weights = HubWeights(
        network="AlexNet",
        file="alexnet-owt-7be5be79.pth",
        sha256="7be5be79",
        origin="download.pytorch.org/models",
        otherwise="go without LPIPS",
    )
    position = 17
    compares_immunized = True
    symmetric = True

    def _scores(self, edited: torch.Tensor, reference: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        distances: torch.Tensor = self._network(edited.cpu(), reference.cpu(), normalize=True)
        return distances.flatten()

    @cached_property
    def _network(self) -> Any:
        import torch
        from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

        self.weights.require()
        # The weights are drawn before they are loaded; the global generator must not notice.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", category=UserWarning)
            return LearnedPerceptualImagePatchSimilarity(net_type="alex").net
