"""Feature extractors for the metrics of sets of images. Which one was used is part of every result."""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval import resources
from photoguard_eval.errors import MetricError, UnknownNameError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.metrics.prompt import TextImageModel

if TYPE_CHECKING:
    import torch

INCEPTION_WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_HASH = "6726825d"
"""How the SHA-256 of the weights begins, as their name says."""


class FeatureExtractor(ABC):
    """A network whose features stand for images."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Name and hash of the weights; known without loading the network."""

    @abstractmethod
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Compute features.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].

        Returns:
            Shape (N, D), float32, on the CPU.
        """


class EmbeddedClipFeatures(FeatureExtractor):
    """Image embeddings, not normalised, of the CLIP that the package carries."""

    def __init__(self) -> None:
        """Name the network; it is loaded when first used."""
        self._clip = TextImageModel(str(resources.embedded_clip()))

    @cached_property
    def identity(self) -> str:
        """See `FeatureExtractor.identity`."""
        return f"embedded {self._clip.identity}"

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """See `FeatureExtractor.features`."""
        return self._clip.embed_images(images)


class InceptionFeatures(FeatureExtractor):
    """Inception-v3 of the FID paper, 2048 features, with piq's own resizing (bilinear, to 299 pixels, no antialias)."""

    def __init__(self) -> None:
        """Find the weights in torch hub's cache; they are not downloaded.

        Raises:
            MetricError: If they are not there.
        """
        self.weights = inception_weights()
        if not self.weights.is_file():
            raise MetricError(
                f"The weights of Inception-v3 are not in {self.weights}. Download {INCEPTION_WEIGHTS} from the release "
                "fid_weights of github.com/mseitzer/pytorch-fid and put it there, or use --extractor embedded."
            )

    @cached_property
    def identity(self) -> str:
        """See `FeatureExtractor.identity`."""
        return f"inception-v3 {sha256_of_file(self.weights)[:12]}"

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """See `FeatureExtractor.features`."""
        import torch

        with torch.no_grad():
            features: torch.Tensor = self._network(images.float().cpu().clamp(0, 1))[0]
        return features.flatten(1)

    @cached_property
    def _network(self) -> Any:
        import torch
        from piq.feature_extractors import InceptionV3

        if not sha256_of_file(self.weights).startswith(INCEPTION_HASH):
            raise MetricError(
                f"{self.weights} is damaged: its SHA-256 does not begin with {INCEPTION_HASH}. Remove it and download "
                "it again, or use --extractor embedded."
            )
        if Path(torch.hub.get_dir()) / "checkpoints" != self.weights.parent:
            # piq would not find the weights there and would download them.
            raise MetricError(
                f"Torch hub's cache is {torch.hub.get_dir()}, but the weights of Inception-v3 are in "
                f"{self.weights.parent}. Set the cache with TORCH_HOME rather than torch.hub.set_dir."
            )
        # The weights are drawn before they are loaded; the global generator must not notice.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", category=UserWarning)
            warnings.simplefilter("ignore", category=FutureWarning)
            return InceptionV3().eval()


def inception_weights() -> Path:
    """Return where torch hub keeps the weights of Inception-v3, without loading torch."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    home = Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser()
    return home / "hub" / "checkpoints" / INCEPTION_WEIGHTS


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
    if inception_weights().is_file():
        return InceptionFeatures()
    warnings.warn(
        f"FID, KID, precision and recall use the embedded extractor, since {inception_weights()} is missing. They "
        "cannot be compared with published values.",
        stacklevel=2,
    )
    return EmbeddedClipFeatures()
