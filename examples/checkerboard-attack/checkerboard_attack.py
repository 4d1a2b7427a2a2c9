"""An attack of another package: a checkerboard of ±ε. It needs no model, and protects accordingly."""

import torch

from photoguard_eval import Attack, parameters
from photoguard_eval.attacks.fields import PositiveInt


@parameters
class CheckerboardAttack(Attack):
    """Add and subtract the radius of the budget on alternate squares.

    Attributes:
        square: Side of a square, in pixels.
    """

    name = "checkerboard"
    title = "Checkerboard"
    sees_model = False

    square: PositiveInt = 1

    def perturb(self, model, batch, generator):
        """Return the immunized images, the same shape as `batch.images`, in [0, 1]."""
        height, width = batch.images.shape[-2:]
        rows = torch.arange(height).view(-1, 1) // self.square
        columns = torch.arange(width).view(1, -1) // self.square
        signs = ((rows + columns) % 2 * 2 - 1).to(batch.images)
        return (batch.images + batch.budget.radius * signs * batch.kept).clamp(0, 1)
