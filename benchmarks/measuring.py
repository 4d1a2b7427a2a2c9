"""How the benchmarks measure: alternating rounds, medians, and the rate of matrix products in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from released import (
    ReleasedDiffusionGradient,
    ReleasedEncoderGradient,
    images_of,
    parameters_requiring_gradients,
    released_layout,
)

from photoguard_eval.attacks import AttackBatch, DiffusionAttack, EncoderAttack, GradientAttack
from photoguard_eval.data.cases import load_dataset
from photoguard_eval.diffusion import EDITORS, EditSettings, LatentDiffusion
from photoguard_eval.pipeline.accounting import Account, weights
from photoguard_eval.randomness import CaseGenerators

MATRIX_SIDE = 2048


@dataclass(frozen=True)
class Comparison:
    """The package's attack beside the released structure, with as many gradients of the same loss.

    Attributes:
        speedup: Median time of the reference over that of the package.
        gradient_cosine: Cosine between the two gradients, the smallest of all images.
        roofline_share: Floating-point operations of the package's steps over what matrix products of `MATRIX_SIDE`
            would have done in the time.
        seconds: Median time of the package, per gradient of one image.
        reference_seconds: Likewise of the reference.
        loss: Mean loss of the package.
        reference_loss: Of the reference.
        gigaflop: Operations per gradient of one image, 10⁹.
        rounds: Pairs of measurements.
    """

    speedup: float
    gradient_cosine: float
    roofline_share: float
    seconds: float
    reference_seconds: float
    loss: float
    reference_loss: float
    gigaflop: float
    rounds: int

    def as_json(self) -> dict[str, Any]:
        """Return all numbers."""
        return asdict(self)


def matrix_product_rate(dtype: torch.dtype = torch.float32) -> float:
    """Return floating-point operations per second of products of square matrices, over eight of them.

    Over all of them, not of the best: what else runs on a machine takes its part of a call of seconds, and it must take
    the same part of what that call is compared with.
    """
    left, right = (torch.rand(MATRIX_SIDE, MATRIX_SIDE).to(dtype) for _ in range(2))
    torch.mm(left, right)
    return 8 * 2 * MATRIX_SIDE**3 / seconds_of(lambda: [torch.mm(left, right) for _ in range(8)])


def share_of_rate(flop: float, run: Callable[[], object]) -> tuple[float, float]:
    """Return the share of the rate of matrix products that a call reaches, measured before and after it, and its time.

    Args:
        flop: Operations of the call.
        run: The call.
    """
    before = matrix_product_rate()
    seconds = seconds_of(run)
    return flop / seconds / statistics.mean((before, matrix_product_rate())), seconds


def roofline_share(model: LatentDiffusion, run: Callable[[], object], rounds: int = 5) -> float:
    """Return which share of the rate of matrix products a call reaches, the median of rounds that measure both.

    Whatever else a machine does slows both, so that a limit on the share holds where one on seconds would not.

    Args:
        model: The model that the call uses; its operations are counted in a call before the rounds.
        run: The call.
        rounds: Measurements.
    """
    with Account(weights(model)) as account:
        run()
    return statistics.median(share_of_rate(account.flop, run)[0] for _ in range(rounds))


def example_batch(count: int, editor: str = "inpaint") -> AttackBatch:
    """Return the first images of the embedded dataset, with their masks where the editor reads any.

    Args:
        count: How many; images repeat where the dataset has fewer.
        editor: Against what they are immunized.
    """
    images = {case.image_id: case for case in load_dataset("emoji-scenes").cases}
    cases = [list(images.values())[row % len(images)] for row in range(count)]
    plugin = EDITORS.create(editor).instance
    masks = torch.cat([case.mask() for case in cases])
    return AttackBatch(
        images=torch.cat([case.image() for case in cases]),
        masks=masks if plugin.reads_mask else torch.zeros_like(masks),
        prompts=None,
        ids=tuple(f"{row}" for row in range(count)),
        editor=plugin,
        settings=EditSettings(),
        at_once=12,
    )


class PackageGradient:
    """Losses and gradients as the package's descent takes them: whatever does not change is computed once."""

    def __init__(self, attack: GradientAttack, model: LatentDiffusion, batch: AttackBatch) -> None:
        """Name what is computed."""
        self.attack = attack
        self.model = model
        self.batch = batch

    def __call__(self, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Take `steps` gradients of all images; return losses, (N,), and gradients of the first step."""
        generators = CaseGenerators.from_seeds(range(len(self.batch)))
        objective = self.attack.objective(self.model, self.batch, generators)
        results = []
        for _ in range(steps):
            images = self.batch.images.clone().requires_grad_(True)
            losses = objective(images)
            results.append((losses.detach(), torch.autograd.grad(losses.sum(), images)[0]))
        return results[0]


class ReferenceGradient:
    """The same by the released structure, image by image."""

    def __init__(self, attack: DiffusionAttack | EncoderAttack, model: LatentDiffusion, batch: AttackBatch) -> None:
        """Name what is computed."""
        self.model = released_layout(model)
        self.gradient = (
            ReleasedDiffusionGradient(attack, self.model)
            if isinstance(attack, DiffusionAttack)
            else ReleasedEncoderGradient(attack, self.model)
        )
        self.repetitions = attack.repetitions if isinstance(attack, DiffusionAttack) else 1
        self.batch = batch

    def __call__(self, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """See `PackageGradient`."""
        first = []
        with parameters_requiring_gradients(self.model):
            for row, image in enumerate(images_of(self.batch)):
                noise = CaseGenerators.from_seeds([row]).spawn(self.repetitions)
                results = [self.gradient(image, noise) for _ in range(steps)]
                first.append(results[0])
        return torch.cat([loss for loss, _ in first]), torch.cat([gradient for _, gradient in first])


def compare(
    attack: DiffusionAttack | EncoderAttack, model: LatentDiffusion, batch: AttackBatch, *, steps: int, rounds: int
) -> Comparison:
    """Time both in turn, after one step each to warm up.

    Args:
        attack: The attack.
        model: The model.
        batch: The images.
        steps: Gradients of each image in a round.
        rounds: Pairs of measurements.
    """
    package, reference = PackageGradient(attack, model, batch), ReferenceGradient(attack, model, batch)
    reference_losses, reference_gradients = reference(1)
    with Account(weights(model)) as account:
        losses, gradients = package(1)
    cosines = torch.nn.functional.cosine_similarity(gradients.flatten(1), reference_gradients.flatten(1))
    shares, pairs = [], []
    for _ in range(rounds):
        reference_seconds = seconds_of(lambda: reference(steps))
        share, seconds = share_of_rate(steps * account.flop, lambda: package(steps))
        shares.append(share)
        pairs.append((reference_seconds, seconds))
    count = steps * len(batch)
    slow, fast = (statistics.median(times) / count for times in zip(*pairs, strict=True))
    return Comparison(
        speedup=statistics.median(first / second for first, second in pairs),
        gradient_cosine=float(cosines.min()),
        roofline_share=statistics.median(shares),
        seconds=fast,
        reference_seconds=slow,
        loss=float(losses.mean()),
        reference_loss=float(reference_losses.mean()),
        gigaflop=account.flop / len(batch) / 1e9,
        rounds=rounds,
    )


def growth_exponent(sizes: Sequence[int], run: Callable[[int], object]) -> tuple[float, list[float]]:
    """Fit seconds = c · size^k; return k and the seconds, each the better of two.

    Args:
        sizes: What is run.
        run: Runs one size.
    """
    import numpy as np

    seconds = [min(seconds_of(lambda size=size: run(size)) for _ in range(2)) for size in sizes]
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]), seconds


def seconds_of(run: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
