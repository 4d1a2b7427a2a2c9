"""Gradients through a network in float16, whose small values would be lost and whose large ones would overflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    Training, Section 3.2). Where it overflows, the loss is evaluated and differentiated again with a smaller one, so
    that no step is lost; a graph that was kept for this would need the memory that gradient checkpointing saves. Scales
    are powers of two: a gradient that fits is the same with and without.

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

    def differentiate(
        self, loss: Callable[[], torch.Tensor], inputs: Sequence[torch.Tensor], *, allow_unused: bool = False
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Evaluate losses and differentiate their sum.

        Args:
            loss: Returns the losses, float32; called once more for each scale that overflows.
            inputs: What they depend on.
            allow_unused: Whether they may not depend on some, whose gradient is zero then.

        Returns:
            The losses, detached, and one gradient for each input. Gradients are not finite only if no scale makes them
            so.
        """
        import torch

        while True:
            losses = loss()
            found = torch.autograd.grad(losses.sum() * self.value, inputs, materialize_grads=allow_unused)
            if not self._adapts or self.value <= SMALLEST or _all_finite(found) or not _all_finite([losses]):
                break
            self.value /= 4
            self._in_a_row = 0
        scaled = [gradient / self.value for gradient in found]
        self._in_a_row += 1
        if self._adapts and self._in_a_row >= RISE_AFTER:
            self.value = min(LARGEST, self.value * 2)
            self._in_a_row = 0
        return losses.detach(), scaled


def _all_finite(tensors: Sequence[torch.Tensor]) -> bool:
    """Tell whether all values are finite; those of a model that is only laid out are taken for it."""
    from torch._subclasses.fake_tensor import FakeTensor

    return all(isinstance(tensor, FakeTensor) or bool(tensor.isfinite().all()) for tensor in tensors)
