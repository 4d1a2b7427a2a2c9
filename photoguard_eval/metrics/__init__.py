"""Metrics of edits and of immunized images. What is to be known of one are facts of its class."""

from __future__ import annotations

from photoguard_eval.metrics.base import (
    METRICS,
    DistributionMetric,
    Metric,
    PairwiseMetric,
    PromptMetric,
    register_metric,
)
from photoguard_eval.metrics.clip import TextImageModel, select_clip
from photoguard_eval.metrics.distribution import FrechetInceptionDistance, Precision, Recall, realism_scores
from photoguard_eval.metrics.features import EmbeddedClipFeatures, FeatureExtractor, InceptionFeatures, select_extractor
from photoguard_eval.metrics.kernel import KernelInceptionDistance
from photoguard_eval.metrics.pairwise import StructuralSimilarity
from photoguard_eval.metrics.perceptual import LearnedPerceptualSimilarity
from photoguard_eval.metrics.prompt import ClipSimilarity
from photoguard_eval.metrics.quality import quality_scores
from photoguard_eval.metrics.region import RegionPeakSignalToNoiseRatio, RegionStructuralSimilarity

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
    "quality_scores",
    "realism_scores",
    "register_metric",
    "select_clip",
    "select_extractor",
]


def distribution_metrics() -> list[type[DistributionMetric]]:
    """Return all metrics of two sets of images, in the order of a result's columns."""
    return [metric for metric in METRICS.classes().values() if issubclass(metric, DistributionMetric)]
