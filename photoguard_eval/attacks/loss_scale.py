"""Gradients through a network in float16, whose small values would be lost and whose large ones would overflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FIRST, LARGEST = 2.0**16, 2.0**24
SMALLEST = 2.0**-8
"""Below this, a gradient that is still not finite is taken for what it is."""

RISE_AFTER = 64
"""Finite gradients in a row after which a larger scale is tried."""


class LossScale:
    """What a loss is multiplied by before it is differentiated, and its gradient divided by afterwards.

    float16 holds 6·10⁻⁸ to 65504, and the gradients of a loss with respect to activations span more. As large a scale
    as does not overflow keeps the small ones from being rounded to zero (Micikevicius et al. 2018, Mixed Precision
    Training, Section 3.2). Where it overflows, the same graph is differentiated again with a smaller one, so that no
    step is lost. Scales are powers of two: a gradient that fits is the same with and without.

    Attributes:
        value: The scale; always 1 for types with the exponents of float32.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """Start at a scale that suits most losses.

        Args:
            dtype: What the model computes in.
        """
        import torch

        self._adapts = dtype == torch.float16
        self.value = FIRST if self._adapts else 1.0
        self._in_a_row = 0

    def gradients(
        self, loss: torch.Tensor, inputs: Sequence[torch.Tensor], *, allow_unused: bool = False
    ) -> list[torch.Tensor]:
        """Differentiate a loss.

        Args:
            loss: Scalar, float32.
            inputs: What it depends on.
            allow_unused: Whether it may not depend on some, whose gradient is zero then.

        Returns:
            One gradient for each input. They are not finite only if no scale makes them so.
        """
        import torch

        while True:
            found = torch.autograd.grad(
                loss * self.value, inputs, retain_graph=self._adapts, materialize_grads=allow_unused
            )
            finite = all(bool(gradient.isfinite().all()) for gradient in found) if self._adapts else True
            if finite or self.value <= SMALLEST or not bool(loss.isfinite()):
                break
            self.value /= 4
            self._in_a_row = 0
        scaled = [gradient / self.value for gradient in found]
        self._in_a_row += 1
        if self._adapts and self._in_a_row >= RISE_AFTER:
            self.value = min(LARGEST, self.value * 2)
            self._in_a_row = 0
        return scaled
