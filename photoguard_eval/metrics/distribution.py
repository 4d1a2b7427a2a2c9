"""Metrics of two sets of images (paper, Table 6), computed from features of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics.base import DistributionMetric, register_metric

if TYPE_CHECKING:
    import torch

NEAREST_NEIGHBOURS = 5
"""Neighbours that the radii of precision and recall reach to; fewer where a set has no more."""


@register_metric
class FrechetInceptionDistance(DistributionMetric):
    """The Fréchet distance of two Gaussians fitted to the features.

    With fewer images than feature dimensions the covariances are singular and the value is biased upwards by an amount
    that depends on n; compare it only at equal n, and beside KID, which is unbiased. torchmetrics takes the eigenvalues
    of the product of the covariances: it stays real at any rank and within 10⁻⁴ of the exact value at 128 features,
    where the iteration of piq's FID ends up to 10⁻² off. Rounding below zero is cut off.
    """

    name = "fid"
    label = "FID"
    higher_is_more_similar = False
    upper_bound = None
    source = "Heusel et al. 2017; torchmetrics"
    table = "6"
    printed = True
    position = 1
    ranked = True
    on_board = True

    def _score(self, edited: torch.Tensor, reference: torch.Tensor) -> float:
        from torchmetrics.image.fid import FrechetInceptionDistance as Distance

        distance = Distance(feature=_passthrough(edited.shape[1]))
        distance.set_dtype(edited.dtype)
        distance.update(reference, real=True)
        distance.update(edited, real=False)
        return max(0.0, float(distance.compute()))


class _PrecisionRecall(DistributionMetric):
    """Improved precision and recall: manifolds are unions of balls that reach to the k-th nearest neighbour.

    k is 5, or n − 1 for a set of n < 6 images.
    """

    source = "Kynkäänniemi et al. 2019, 5 neighbours; piq"
    table = "6"

    def _share_inside(self, features: torch.Tensor, manifold: torch.Tensor) -> float:
        import piq

        neighbours = min(NEAREST_NEIGHBOURS, len(features) - 1, len(manifold) - 1)
        # Recall is precision with the sets swapped. piq's own recall compares with the radii of the wrong set where a
        # distance equals a radius, as it does for edits that an attack leaves unchanged.
        precision, _ = piq.PR(nearest_k=neighbours)(manifold, features)
        return float(precision)


@register_metric
class Precision(_PrecisionRecall):
    """Share of the edits of immunized images that lie in the manifold of the original's edits (the paper's PR)."""

    name = "precision"
    label = "Precision"
    higher_is_more_similar = True
    printed = True
    position = 2
    ranked = True

    def _score(self, edited: torch.Tensor, reference: torch.Tensor) -> float:
        return self._share_inside(edited, reference)


@register_metric
class Recall(_PrecisionRecall):
    """Share of the original's edits that lie in the manifold of the edits of immunized images."""

    name = "recall"
    label = "Recall"
    higher_is_more_similar = True
    position = 3
    ranked = True

    def _score(self, edited: torch.Tensor, reference: torch.Tensor) -> float:
        return self._share_inside(reference, edited)


def realism_scores(features: torch.Tensor, references: torch.Tensor, nearest_k: int) -> torch.Tensor:
    """Score how realistic single images are (Kynkäänniemi et al. 2019, Eq. 3).

    The score of an image is the largest ratio, over the reference images, of the reference's distance to its k-th
    nearest neighbour and of the image's distance to the reference: 1 and more lies in the manifold. References whose
    radius is above the median are left out, as that paper does against outliers.

    Args:
        features: Shape (N, D).
        references: Shape (M, D), M ≥ 2.
        nearest_k: Neighbour that radii reach to, counted without the reference itself; M − 1 where M is no larger.

    Returns:
        Shape (N,), float64; more is more realistic. An image that equals a reference has a very large finite score.

    Raises:
        MetricError: If features do not fit or are not finite, or there are fewer than two references.
    """
    import torch

    if features.ndim != 2 or references.ndim != 2 or features.shape[1] != references.shape[1] or len(references) < 2:
        raise MetricError(
            f"Realism was given features of shapes {tuple(features.shape)} and {tuple(references.shape)}; expected "
            "(N, D) and (M, D) with at least 2 references."
        )
    if not bool(features.isfinite().all() and references.isfinite().all()):
        raise MetricError("Realism was given features that are NaN or infinite. Look at the images.")
    features, references = features.double(), references.double()
    neighbours = min(nearest_k, len(references) - 1)
    radii = torch.cdist(references, references).topk(neighbours + 1, largest=False).values[:, -1]
    kept = radii <= radii.median()
    distances = torch.cdist(features, references[kept])
    return (radii[kept] / distances.clamp_min(1e-8)).max(dim=1).values


def _passthrough(dimension: int) -> torch.nn.Module:
    """Return a network that gives back its input, for libraries that insist on computing features."""
    import torch

    network = torch.nn.Identity()
    network.num_features = torch.tensor(dimension)
    return network
