"""python benchmarks/attack_speed.py [--json]: the package's attacks beside the released code's cost structure."""

from __future__ import annotations

import argparse
import json

import torch
from measuring import Comparison, compare, example_batch, matrix_product_rate
from tabulate import tabulate

from photoguard_eval import load_model
from photoguard_eval.attacks import DiffusionAttack, EncoderAttack
from photoguard_eval.diffusion import LatentDiffusion

REPETITIONS, ENCODED = 10, 8


def compare_diffusion(model: LatentDiffusion, rounds: int) -> Comparison:
    """Compare the diffusion attack on one image: ten repetitions through four denoising steps."""
    return compare(DiffusionAttack(repetitions=REPETITIONS), model, example_batch(1), steps=1, rounds=rounds)


def compare_encoder(model: LatentDiffusion, rounds: int) -> Comparison:
    """Compare the encoder attack on eight images."""
    return compare(EncoderAttack(target="zero"), model, example_batch(ENCODED), steps=5, rounds=rounds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="inpaint-a", help="an embedded checkpoint or a folder (default: inpaint-a)")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of measurements (default: 5)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (default: its own)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    torch.set_num_threads(options.threads)
    model = load_model(options.model)
    results = {"diffusion": compare_diffusion(model, options.rounds), "encoder": compare_encoder(model, options.rounds)}
    if options.json:
        print(json.dumps({name: result.as_json() for name, result in results.items()}, indent=1))
        return
    print(f"{options.model}, {options.threads} threads, matrix products {matrix_product_rate() / 1e9:.0f} GFLOP/s")
    rows = [[name, *result.as_json().values()] for name, result in results.items()]
    print(tabulate(rows, headers=["attack", *results["encoder"].as_json()], floatfmt=".4g"))


if __name__ == "__main__":
    main()
