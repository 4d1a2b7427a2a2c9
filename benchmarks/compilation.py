"""python benchmarks/compilation.py [--json]: what `torch.compile` gains in an attack, and after how long it pays.

Compiles the networks that the encoder and the diffusion attack differentiate, and times gradients in turn with the
networks as they are. Takes a C++ compiler.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, dataclass

import torch
from measuring import PackageGradient, example_batch, seconds_of
from tabulate import tabulate

from photoguard_eval import load_model
from photoguard_eval.attacks import DiffusionAttack, EncoderAttack, GradientAttack
from photoguard_eval.diffusion import LatentDiffusion
from photoguard_eval.diffusion.compiling import compile_networks

IMAGES, ROUNDS = 8, 5


@dataclass(frozen=True)
class Compilation:
    """What compiling gains.

    Attributes:
        speedup: Median time of the networks as they are over that of the compiled ones.
        gradient_cosine: Cosine between the two gradients, the smallest of all images.
        compile_seconds: What the first gradient takes longer than the next ones.
        break_even: Gradient steps of a batch after which compiling has paid, or None where it never does.
    """

    speedup: float
    gradient_cosine: float
    compile_seconds: float
    break_even: int | None


def measure_compilation(attack: GradientAttack, model: LatentDiffusion, backend: str = "inductor") -> Compilation:
    """Time an attack's gradients in alternating rounds.

    Args:
        attack: The attack.
        model: The model, whose networks are compiled when this returns.
        backend: Of `torch.compile`.
    """
    gradient = PackageGradient(attack, model, example_batch(IMAGES))
    _, plain = gradient(1)
    compile_networks(model, backend)
    first = seconds_of(lambda: gradient(1))
    _, fused = gradient(1)
    pairs = []
    for _ in range(ROUNDS):
        with torch.compiler.set_stance("force_eager"):
            before = seconds_of(lambda: gradient(1))
        pairs.append((before, seconds_of(lambda: gradient(1))))
    eager, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
    cosine = torch.nn.functional.cosine_similarity(plain.flatten(1), fused.flatten(1)).min()
    cost = first - fast
    return Compilation(
        speedup=statistics.median(slow / quick for slow, quick in pairs),
        gradient_cosine=float(cosine),
        compile_seconds=cost,
        break_even=int(cost / (eager - fast)) + 1 if fast < eager else None,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="inpaint-a", help="an embedded checkpoint or a folder (default: inpaint-a)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args()
    attacks = {"encoder": EncoderAttack(target="zero"), "diffusion": DiffusionAttack()}
    results = {name: measure_compilation(attack, load_model(options.model)) for name, attack in attacks.items()}
    if options.json:
        print(json.dumps({name: asdict(result) for name, result in results.items()}, indent=1))
        return
    rows = [[name, *asdict(result).values()] for name, result in results.items()]
    print(tabulate(rows, headers=["attack", *asdict(results["encoder"])], floatfmt=".4g"))


if __name__ == "__main__":
    main()
