"""Losses averaged over repetitions with fresh noise, as many at once as the memory is meant for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from photoguard_eval.attacks.loss_scale import LossScale
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import EditInputs

RepeatedLoss = Callable[["EditInputs", CaseGenerators], "torch.Tensor"]
"""Given the inputs of edits and a generator for each, returns one loss per edit, (R · N,)."""


def mean_over_repetitions(
    loss: RepeatedLoss, inputs: EditInputs, generators: CaseGenerators, at_once: int, loss_scale: LossScale
) -> torch.Tensor:
    """Return each image's loss, as a mean over repetitions that share one encoding.

    Where not all repetitions run at once, the gradient with respect to the encoding is taken part by part, and only
    their sum goes back through the encoder: memory is that of one part, and the encoder is passed once in any case.

    Args:
        loss: Of the edits.
        inputs: Of the N images, with their graph.
        generators: R · N, repetition by repetition; see `CaseGenerators.spawn`.
        at_once: How many repetitions run at once.
        loss_scale: For the gradients of parts; the whole's is whoever differentiates it.

    Returns:
        Shape (N,). Its first derivatives are exact; it has no second ones where the repetitions run in parts.
    """
    import torch

    images = len(inputs.mask)
    repetitions = len(generators) // images

    def sum_of(part: EditInputs, first: int) -> torch.Tensor:
        count = min(at_once, repetitions - first)
        chosen = CaseGenerators(generators.generators[first * images : (first + count) * images])
        return loss(part.repeat(count), chosen).reshape(count, images).sum(dim=0)

    if at_once >= repetitions:
        return sum_of(inputs, 0) / repetitions
    encoded: list[torch.Tensor] = []
    leaves: list[torch.Tensor] = []

    def detached(tensor: torch.Tensor) -> torch.Tensor:
        leaf = tensor.detach()
        if tensor.requires_grad:
            leaf.requires_grad_(True)
            encoded.append(tensor)
            leaves.append(leaf)
        return leaf

    cut = inputs.changed(detached)
    total = torch.zeros(images, device=inputs.mask.device)
    gradients = [torch.zeros_like(leaf) for leaf in leaves]
    for first in range(0, repetitions, at_once):
        if leaves:
            # A distribution's deviation has no gradient where its mean is taken.
            losses, parts = loss_scale.differentiate(partial(sum_of, cut, first), leaves, allow_unused=True)
            for sum_so_far, part in zip(gradients, parts, strict=True):
                sum_so_far += part
        else:
            losses = sum_of(cut, first).detach()
        total = total + losses
    # Zero in value, and in its derivative what was summed: a loss of image i depends on row i alone.
    for tensor, gradient in zip(encoded, gradients, strict=True):
        total = total + (gradient * (tensor - tensor.detach())).flatten(1).sum(dim=1)
    return total / repetitions
