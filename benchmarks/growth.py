"""python benchmarks/growth.py [--json]: how time grows with cases, gradient steps and repetitions.

Fits seconds = c · size^k over 1, 4, 16 and 64 for each; k = 1 is linear.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from measuring import PackageGradient, example_batch, growth_exponent
from tabulate import tabulate

from photoguard_eval import load_model
from photoguard_eval.attacks import DiffusionAttack, EncoderAttack
from photoguard_eval.diffusion import LatentDiffusion
from photoguard_eval.randomness import CaseGenerators

SIZES = (1, 4, 16, 64)


def measure_growth(model: LatentDiffusion, sizes: tuple[int, ...] = SIZES) -> dict[str, tuple[float, list[float]]]:
    """Return exponent and seconds by what grows.

    Args:
        model: The model.
        sizes: How many cases, steps and repetitions.
    """
    one = example_batch(1)

    def cases(count: int) -> None:
        batch = example_batch(count)
        for start in range(0, count, batch.at_once):
            rows = slice(start, start + batch.at_once)
            part = replace(batch, images=batch.images[rows], masks=batch.masks[rows], ids=batch.ids[rows])
            PackageGradient(EncoderAttack(), model, part)(4)

    def steps(count: int) -> None:
        EncoderAttack(steps=count).perturb(model, one, CaseGenerators.from_seeds([0]))

    def repetitions(count: int) -> None:
        PackageGradient(DiffusionAttack(repetitions=count, denoising_steps=1), model, one)(1)

    grown = {"cases": cases, "steps": steps, "repetitions": repetitions}
    cases(1)
    return {name: growth_exponent(sizes, run) for name, run in grown.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="inpaint-a", help="an embedded checkpoint or a folder (default: inpaint-a)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args()
    results = measure_growth(load_model(options.model))
    if options.json:
        print(json.dumps({name: {"exponent": k, "seconds": seconds} for name, (k, seconds) in results.items()}))
        return
    rows = [[name, k, *seconds] for name, (k, seconds) in results.items()]
    print(tabulate(rows, headers=["what grows", "exponent", *[f"s at {size}" for size in SIZES]], floatfmt=".3g"))


if __name__ == "__main__":
    main()
