"""An attack of another package: a checkerboard of ±ε. It needs no model, and protects accordingly."""

import torch

from photoguard_eval import Attack


class CheckerboardAttack(Attack):
    """Add and subtract ε on alternate squares."""

    name = "checkerboard"
    title = "Checkerboard"
    sees_model = False

    def __init__(self, *, epsilon: float = 16 / 255, square: int = 1):
        """Configure the attack.

        Args:
            epsilon: Largest change of a channel value, in [0, 1].
            square: Side of a square, in pixels.
        """
        super().__init__(epsilon=epsilon)
        self.square = square

    def perturb(self, model, batch, generator):
        """Return the immunized images, the same shape as `batch.images`, in [0, 1]."""
        height, width = batch.images.shape[-2:]
        rows = torch.arange(height).view(-1, 1) // self.square
        columns = torch.arange(width).view(1, -1) // self.square
        signs = ((rows + columns) % 2 * 2 - 1).to(batch.images)
        return (batch.images + self.threat_model.epsilon * signs * batch.kept).clamp(0, 1)
