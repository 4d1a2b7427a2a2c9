"""Metrics, in the order of the paper's tables: Table 6, Table 10, Figure 7, and this benchmark's own."""

from __future__ import annotations

# The order of these imports is the order of the report.
# isort: off
from photoguard_eval.metrics.base import (
    METRICS,
    DistributionMetric,
    Metric,
    PairwiseMetric,
    PromptMetric,
    register_metric,
)
from photoguard_eval.metrics.distribution import FrechetInceptionDistance, Precision, Recall, realism_scores
from photoguard_eval.metrics.pairwise import StructuralSimilarity
from photoguard_eval.metrics.prompt import ClipSimilarity, TextImageModel, select_clip
from photoguard_eval.metrics.kernel import KernelInceptionDistance
from photoguard_eval.metrics.region import RegionPeakSignalToNoiseRatio, RegionStructuralSimilarity
from photoguard_eval.metrics.features import FeatureExtractor, select_extractor
# isort: on

__all__ = [
    "METRICS",
    "ClipSimilarity",
    "DistributionMetric",
    "FeatureExtractor",
    "FrechetInceptionDistance",
    "KernelInceptionDistance",
    "Metric",
    "PairwiseMetric",
    "Precision",
    "PromptMetric",
    "Recall",
    "RegionPeakSignalToNoiseRatio",
    "RegionStructuralSimilarity",
    "StructuralSimilarity",
    "TextImageModel",
    "realism_scores",
    "register_metric",
    "select_clip",
    "select_extractor",
]
