"""Norms: what the size of a perturbation is, how it is brought back into a ball, and which way is steepest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import torch

NormName = Literal["linf", "l2"]

ROUNDING = 1e-3
"""Of a level: 0.00392 stands for 1/255."""

SMALLEST_SIZE = 1e-30
"""Of a gradient or perturbation that something is divided by."""


class Measured(Protocol):
    """What was measured of a perturbation, in levels of 1/255."""

    @property
    def linf_levels(self) -> float:
        """Largest change of a channel value."""

    @property
    def rms_levels(self) -> float:
        """Root mean square change over all channel values."""


class Norm(ABC):
    """What a norm makes of perturbations, shape (N, 3, H, W), of radius 1 = from black to white.

    Attributes:
        symbol: As papers write it.
        measure: What the norm measures, in words.
    """

    symbol: ClassVar[str]
    measure: ClassVar[str]

    @abstractmethod
    def size(self, measured: Measured) -> float:
        """Return a measured perturbation's norm, in levels."""

    @abstractmethod
    def bring_back(self, perturbation: torch.Tensor, radius: float) -> torch.Tensor:
        """Return the nearest perturbation, or one in the same direction, of at most this norm; differentiable."""

    @abstractmethod
    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the direction of norm 1 in which a loss grows fastest."""

    @abstractmethod
    def bound(self, radius: float) -> float:
        """Return b for which values that are uniform in [−b, b] have at most this norm, in expectation at least."""

    @abstractmethod
    def round_inwards(
        self, base: torch.Tensor, rounded: torch.Tensor, change: torch.Tensor, levels: float
    ) -> torch.Tensor:
        """Bring an image back that rounding may have carried out of the ball.

        Args:
            base: The original in levels, (C, H, W), int32.
            rounded: The rounded image, the same.
            change: What was rounded: the change in levels, within the ball, float64.
            levels: The radius in levels.

        Returns:
            The image in levels, int32; at most one level from the rounded one.
        """


class LargestChange(Norm):
    """ℓ∞: the largest change of a channel value."""

    symbol = "ℓ∞"
    measure = "largest change"

    def size(self, measured: Measured) -> float:
        """See `Norm.size`."""
        return measured.linf_levels

    def bring_back(self, perturbation: torch.Tensor, radius: float) -> torch.Tensor:
        """See `Norm.bring_back`."""
        return perturbation.clamp(-radius, radius)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        """See `Norm.steepest`."""
        return gradient.sign()

    def bound(self, radius: float) -> float:
        """See `Norm.bound`."""
        return radius

    def round_inwards(
        self, base: torch.Tensor, rounded: torch.Tensor, change: torch.Tensor, levels: float
    ) -> torch.Tensor:
        """See `Norm.round_inwards`."""
        import torch

        del change
        whole = int(levels + ROUNDING)
        return torch.minimum(torch.maximum(rounded, base - whole), base + whole)


class RootMeanSquareChange(Norm):
    """ℓ2 divided by √(3·H·W): the root mean square change, so that a radius means the same at every image size."""

    symbol = "ℓ2"
    measure = "root mean square change"

    def size(self, measured: Measured) -> float:
        """See `Norm.size`."""
        return measured.rms_levels

    def bring_back(self, perturbation: torch.Tensor, radius: float) -> torch.Tensor:
        """See `Norm.bring_back`."""
        size = _root_mean_square(perturbation)
        return perturbation * (radius / size.clamp_min(SMALLEST_SIZE)).clamp(max=1.0)

    def steepest(self, gradient: torch.Tensor) -> torch.Tensor:
        """See `Norm.steepest`."""
        return gradient / _root_mean_square(gradient).clamp_min(SMALLEST_SIZE)

    def bound(self, radius: float) -> float:
        """See `Norm.bound`."""
        return float(radius * 3**0.5)

    def round_inwards(
        self, base: torch.Tensor, rounded: torch.Tensor, change: torch.Tensor, levels: float
    ) -> torch.Tensor:
        """See `Norm.round_inwards`."""
        if (rounded - base).double().square().mean().sqrt() <= levels:
            return rounded
        # Towards the original, each value by less than a level: no change grows, so neither does their norm.
        return base + change.trunc().int()


def _root_mean_square(values: torch.Tensor) -> torch.Tensor:
    return values.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


NORMS: dict[str, Norm] = {"linf": LargestChange(), "l2": RootMeanSquareChange()}
