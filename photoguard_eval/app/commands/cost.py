"""`photoguard-eval cost`."""

from __future__ import annotations

import argparse

from photoguard_eval.app.command import Command, print_json
from photoguard_eval.app.options import DTYPE, JSON, MODEL, NO_CHECKPOINTING, REVISION, Option


def run(options: argparse.Namespace) -> int:
    """Count operations and memory on a model without weights."""
    from photoguard_eval.attacks import ATTACKS
    from photoguard_eval.diffusion import (
        DEFAULT_GPU_MODEL,
        EDITORS,
        EditSettings,
        architecture_multiple,
        load_architecture,
    )
    from photoguard_eval.images.arrays import require_multiple_of
    from photoguard_eval.pipeline.accounting import count_attack, count_edit

    through = {"denoising_steps": options.steps_through, "repetitions": options.repetitions}
    arguments = [f"{name}={value}" for name, value in through.items() if value is not None]
    attack = ATTACKS.create(",".join([options.attack, *arguments])).instance
    editor = EDITORS.create(options.editor).instance
    name = options.model or DEFAULT_GPU_MODEL
    if options.size is not None:
        require_multiple_of(options.size, architecture_multiple(name, options.revision), "--size")
    model = load_architecture(name, dtype=options.dtype, revision=options.revision)
    model.checkpoint_gradients(not options.no_checkpointing)
    size = model.native_size if options.size is None else options.size
    settings = EditSettings()
    costs, edit = count_attack(attack, model, editor, settings, size), count_edit(model, editor, settings, size)
    if options.json:
        what = {"model": name, "attack": options.attack, "editor": options.editor, "size": size, "dtype": options.dtype}
        print_json({**what, **vars(costs), "tflop": costs.tflop, "edit": vars(edit)})
        return 0
    print(f"{name}, {size} × {size}, {options.dtype}: {costs.weights_gib:.1f} GiB of weights")
    print(
        f"{options.attack} against {options.editor}: {costs.tflop_per_step:.1f} TFLOP a step, {costs.tflop:,.0f} in "
        f"{costs.steps} steps; {costs.saved_gib:.1f} GiB of activations kept, {costs.peak_gib:.1f} at the peak"
    )
    print(f"an edit: {edit.tflop:.1f} TFLOP; {edit.peak_gib:.1f} GiB at the peak")
    return 0


COMMAND = Command(
    "cost",
    "Count what an attack and an edit would cost, with the paper's settings.",
    run,
    (
        MODEL.but(help="hub id, embedded checkpoint or folder (default: Stable Diffusion 1.5 inpainting)"),
        REVISION.but(help="commit of a hub model that the package does not describe"),
        DTYPE,
        Option("attack", "a gradient attack", "diffusion", metavar="SPEC"),
        Option("editor", "what it immunizes against", "inpaint", metavar="NAME"),
        Option("size", "side of the image in pixels (default: the model's own)", type=int, metavar="PIXELS"),
        Option("steps-through", "denoising steps that the gradient goes through", type=int, metavar="K"),
        Option("repetitions", "edits that the gradient is averaged over", type=int, metavar="R"),
        NO_CHECKPOINTING.but(help="keep all activations rather than compute them again"),
        JSON,
    ),
)
