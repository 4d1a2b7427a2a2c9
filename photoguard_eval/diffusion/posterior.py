"""What an image becomes in the autoencoder: a normal distribution of latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from photoguard_eval.randomness import CaseGenerators


@dataclass(frozen=True)
class Posterior:
    """The latent distribution of encoded images, in the scale that the UNet works in.

    Attributes:
        mean: Shape (N, C, h, w).
        deviation: The standard deviation, same shape.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Posterior:
        """Return the distribution with both tensors changed.

        Args:
            change: What is done to each.
        """
        return Posterior(change(self.mean), change(self.deviation))

    def repeat(self, count: int) -> Posterior:
        """Repeat the whole batch `count` times: (count · N, C, h, w), repetition by repetition."""
        return self.changed(lambda tensor: tensor.repeat(count, 1, 1, 1))

    def draw(self, generators: CaseGenerators | None) -> torch.Tensor:
        """Draw latents from each image's own generator, as the released pipelines do, or return the mean.

        Args:
            generators: One per image; None for the mean.
        """
        if generators is None:
            return self.mean
        return self.mean + self.deviation * generators.normal(self.mean.shape[1:], self.mean)
