"""Feature extractors for the metrics of sets of images. Which one was used is part of every result."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from photoguard_eval import resources
from photoguard_eval.errors import MetricError, UnknownNameError
from photoguard_eval.metrics.checks import require_images
from photoguard_eval.metrics.clip import TextImageModel
from photoguard_eval.metrics.hub import HubWeights

if TYPE_CHECKING:
    import torch

INCEPTION = HubWeights(
    network="Inception-v3",
    file="pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
    origin="the release fid_weights of github.com/mseitzer/pytorch-fid",
    otherwise="use --extractor embedded",
)


class FeatureExtractor(ABC):
    """A network whose features stand for images."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Name and hash of the weights; known without loading the network."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Compute features.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].

        Returns:
            Shape (N, D), float32, on the CPU.

        Raises:
            MetricError: If the images are of another shape or type, not finite, or outside of the range.
        """
        require_images("The feature extractor", images)
        return self._features(images)

    @abstractmethod
    def _features(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features of images that have been checked."""


class EmbeddedClipFeatures(FeatureExtractor):
    """Image embeddings, not normalised, of the CLIP that the package carries."""

    def __init__(self) -> None:
        """Name the network; it is loaded when first used."""
        self._clip = TextImageModel(str(resources.embedded_clip()))

    @cached_property
    def identity(self) -> str:
        """See `FeatureExtractor.identity`."""
        return f"embedded {self._clip.identity}"

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        return self._clip.embed_images(images)


class InceptionFeatures(FeatureExtractor):
    """Inception-v3 of the FID paper, 2048 features, with piq's own resizing (bilinear, to 299 pixels, no antialias)."""

    def __init__(self) -> None:
        """Find the weights in torch hub's cache; they are not downloaded.

        Raises:
            MetricError: If they are not there.
        """
        if INCEPTION.missing:
            raise MetricError(INCEPTION.missing)

    @cached_property
    def identity(self) -> str:
        """See `FeatureExtractor.identity`."""
        return INCEPTION.identity()

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.no_grad():
            features: torch.Tensor = self._network(images.float().cpu().clamp(0, 1))[0]
        return features.flatten(1)

    @cached_property
    def _network(self) -> Any:
        import torch
        from piq.feature_extractors import InceptionV3

        INCEPTION.require()
        # The weights are drawn before they are loaded; the global generator must not notice.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", category=UserWarning)
            warnings.simplefilter("ignore", category=FutureWarning)
            return InceptionV3().eval()


def select_extractor(choice: str, embedded_model: bool) -> FeatureExtractor:
    """Choose the feature extractor.

    Args:
        choice: "embedded", "inception", or "auto": for an embedded model always the embedded extractor, so that
            baselines do not depend on what a machine has cached; for others Inception where its weights are, else the
            embedded extractor, with a warning.
        embedded_model: Whether the edits come from an embedded model.

    Raises:
        UnknownNameError: If the choice is none of these.
        MetricError: If Inception is asked for and its weights are not there.
    """
    if choice == "inception":
        return InceptionFeatures()
    if choice == "embedded" or (choice == "auto" and embedded_model):
        return EmbeddedClipFeatures()
    if choice != "auto":
        raise UnknownNameError("feature extractor", choice, ["auto", "embedded", "inception"])
    if not INCEPTION.missing:
        return InceptionFeatures()
    warnings.warn(
        f"FID, KID, precision and recall use the embedded extractor, since {INCEPTION.path} is missing. They "
        "cannot be compared with published values.",
        stacklevel=2,
    )
    return EmbeddedClipFeatures()
