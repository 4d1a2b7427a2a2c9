"""python benchmarks/full_size.py [--json]: operations and memory of the diffusion attack on Stable Diffusion.

Counted for one image of 512 × 512 on the architecture of Stable Diffusion 1.5 inpainting without weights, in float16,
per gradient of one repetition: ten repetitions of the package, which share one encoding, beside the released code's
cost structure. Four denoising steps.
"""

from __future__ import annotations

import argparse
import json

import torch
from released import ReleasedDiffusionGradient, parameters_requiring_gradients
from tabulate import tabulate

from photoguard_eval.attacks import DiffusionAttack
from photoguard_eval.diffusion import EDITORS, Editor, EditSettings, LatentDiffusion, load_architecture
from photoguard_eval.pipeline.accounting import (
    GIBIBYTE,
    TERA,
    Account,
    AttackCost,
    count_attack,
    example_batch,
    weights,
    weights_size,
)
from photoguard_eval.randomness import CaseGenerators

MODEL = "stable-diffusion-v1-5/stable-diffusion-inpainting"
REPETITIONS = 10


def count_full_size() -> dict[str, dict[str, float]]:
    """Count the reference, and the package without and with gradient checkpointing.

    Returns:
        By way of computing: TFLOP per gradient, that as a share of the reference's, GiB of the activations that one
        repetition keeps for the gradient, and GiB at the peak of ten repetitions.
    """
    model = load_architecture(MODEL, dtype="float16")
    editor, settings = EDITORS.create("inpaint").instance, EditSettings()
    reference = _count_reference(model, editor, settings)
    counted = {"reference": {"tflop": reference.tflop_per_step, "share": 1.0, **_memory(reference, reference)}}
    for name, checkpointing in (("all activations", False), ("checkpointing", True)):
        model.checkpoint_gradients(checkpointing)
        once = count_attack(DiffusionAttack(), model, editor, settings)
        often = count_attack(DiffusionAttack(repetitions=REPETITIONS), model, editor, settings)
        tflop = often.tflop_per_step / REPETITIONS
        counted[name] = {"tflop": tflop, "share": tflop / reference.tflop_per_step, **_memory(once, often)}
    return counted


def _memory(once: AttackCost, often: AttackCost) -> dict[str, float]:
    return {"saved_gib": once.saved_gib, "peak_gib": often.peak_gib}


def _count_reference(model: LatentDiffusion, editor: Editor, settings: EditSettings) -> AttackCost:
    """Count one repetition, which has nothing in common with the others."""
    released = ReleasedDiffusionGradient(DiffusionAttack(), model)
    batch = example_batch(model, editor, settings, model.native_size)
    image = batch.images.clone().requires_grad_(True)
    (generator,) = CaseGenerators.from_seeds([0]).generators
    with parameters_requiring_gradients(model), Account([*weights(model), image]) as account:
        loss = released.loss(batch, image, generator)
        saved = account.allocated
        torch.autograd.grad(loss.sum(), image)
    return AttackCost(1, account.flop / TERA, saved / GIBIBYTE, account.peak / GIBIBYTE, weights_size(model))


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args()
    counted = count_full_size()
    if options.json:
        print(json.dumps(counted, indent=1))
        return
    rows = [[name, *numbers.values()] for name, numbers in counted.items()]
    print(tabulate(rows, headers=["", "TFLOP", "of the reference", "GiB saved", "GiB at the peak"], floatfmt=".3g"))


if __name__ == "__main__":
    main()
