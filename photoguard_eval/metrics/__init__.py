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
from photoguard_eval.metrics.quality import quality_scores
from photoguard_eval.metrics.kernel import KernelInceptionDistance
from photoguard_eval.metrics.region import RegionPeakSignalToNoiseRatio, RegionStructuralSimilarity
from photoguard_eval.metrics.perceptual import LearnedPerceptualSimilarity
from photoguard_eval.metrics.features import EmbeddedClipFeatures, FeatureExtractor, InceptionFeatures, select_extractor
# isort: on

__all__ = [
    "METRICS",
    "ClipSimilarity",
    "DistributionMetric",
    "EmbeddedClipFeatures",
    "FeatureExtractor",
    "FrechetInceptionDistance",
    "InceptionFeatures",
    "KernelInceptionDistance",
    "LearnedPerceptualSimilarity",
    "Metric",
    "PairwiseMetric",
    "Precision",
    "PromptMetric",
    "Recall",
    "RegionPeakSignalToNoiseRatio",
    "RegionStructuralSimilarity",
    "StructuralSimilarity",
    "TextImageModel",
    "distribution_metrics",
    "pairwise_metrics",
    "prompt_metrics",
    "quality_scores",
    "realism_scores",
    "register_metric",
    "select_clip",
    "select_extractor",
]


def pairwise_metrics() -> list[type[PairwiseMetric]]:
    """Return all metrics of two images in the order of the paper's tables, those of installed plug-ins last."""
    return [metric for metric in METRICS.classes().values() if issubclass(metric, PairwiseMetric)]


def distribution_metrics() -> list[type[DistributionMetric]]:
    """Return all metrics of two sets of images in the order of the paper's tables, those of plug-ins last."""
    return [metric for metric in METRICS.classes().values() if issubclass(metric, DistributionMetric)]


def prompt_metrics() -> list[type[PromptMetric]]:
    """Return all metrics of an image and a prompt in the order of the paper's tables, those of plug-ins last."""
    return [metric for metric in METRICS.classes().values() if issubclass(metric, PromptMetric)]
