"""python benchmarks/time_shares.py [--json]: where the time of an attack's gradient goes, by kind of operation.

Products, convolutions and attention are set against the rate of a large product of matrices measured in the same run;
everything else counts no operations, and bounds the share of that rate that the whole can reach.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from dataclasses import asdict, dataclass

from measuring import PackageGradient, example_batch, matrix_product_rate, seconds_of
from tabulate import tabulate
from torch.profiler import ProfilerActivity, profile

from photoguard_eval import load_model
from photoguard_eval.attacks import DiffusionAttack, EncoderAttack, GradientAttack
from photoguard_eval.diffusion import LatentDiffusion
from photoguard_eval.pipeline.accounting import Account, weights

ROUNDS = 3

KINDS = {
    "convolution": ("convolution",),
    "attention": ("attention",),
    "product": ("mm", "linear", "matmul"),
    "normalisation": ("group_norm", "layer_norm", "batch_norm"),
    "activation": ("silu", "gelu", "sigmoid", "softmax"),
}
"""Kinds of operations, by words in PyTorch's names for them; the first that fits counts."""

REST = "sums, copies and the rest"


@dataclass(frozen=True)
class Share:
    """What one kind of operation takes.

    Attributes:
        time: Share of the time of all operations.
        gigaflop: Floating-point operations in it, 10⁹.
        rate: Of these a second, as a share of the rate of a product of large matrices.
    """

    time: float
    gigaflop: float
    rate: float


def measure_shares(attack: GradientAttack, model: LatentDiffusion, images: int) -> dict[str, Share]:
    """Profile an attack's gradient.

    Args:
        attack: The attack.
        model: The model.
        images: How many are attacked at once.

    Returns:
        The shares by kind, and "all": that of operations in the whole time, unprofiled.
    """
    gradient = PackageGradient(attack, model, example_batch(images))
    gradient(1)
    with Account(weights(model)) as account:
        gradient(1)
    operations = Counter[str]()
    for operation, count in account.flop_by_operation.items():
        operations[_kind(operation)] += count
    rate = statistics.median(matrix_product_rate() for _ in range(ROUNDS))
    whole = statistics.median(seconds_of(lambda: gradient(1)) for _ in range(ROUNDS))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        gradient(1)
    seconds = Counter[str]()
    for event in profiler.key_averages():
        seconds[_kind(event.key)] += event.self_cpu_time_total / 1e6
    total = sum(seconds.values())
    shares = {
        kind: Share(seconds[kind] / total, operations[kind] / 1e9, operations[kind] / seconds[kind] / rate)
        for kind, _ in seconds.most_common()
    }
    return {**shares, "all": Share(1, account.flop / 1e9, account.flop / whole / rate)}


def _kind(operation: str) -> str:
    return next((kind for kind, words in KINDS.items() if any(word in operation for word in words)), REST)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="inpaint-a", help="an embedded checkpoint or a folder (default: inpaint-a)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args()
    model = load_model(options.model)
    results = {
        "diffusion": measure_shares(DiffusionAttack(repetitions=10), model, 1),
        "encoder": measure_shares(EncoderAttack(target="zero"), model, 8),
    }
    if options.json:
        shares = {name: {kind: asdict(share) for kind, share in found.items()} for name, found in results.items()}
        print(json.dumps(shares, indent=1))
        return
    rows = [[name, kind, *asdict(share).values()] for name, found in results.items() for kind, share in found.items()]
    print(tabulate(rows, headers=["attack", "operations", "share of time", "GFLOP", "share of rate"], floatfmt=".3f"))


if __name__ == "__main__":
    main()
