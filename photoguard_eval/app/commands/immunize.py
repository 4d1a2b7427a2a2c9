"""`photoguard-eval immunize`."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval.app.command import EXIT_LEFT_OUT, Command, print_json, request_from
from photoguard_eval.app.options import ISOLATION_OPTIONS, JSON, MASK_FROM, MODEL_OPTIONS, PRESET, SEED, Option
from photoguard_eval.app.remarks import note, say_colours, say_what_is_left_out, warn_of_size

if TYPE_CHECKING:
    from photoguard_eval.pipeline.photographs import Found


def run(options: argparse.Namespace) -> int:
    """Immunize an image, or all images of a folder, and print what was measured."""
    from photoguard_eval.pipeline.attacks import notes_on
    from photoguard_eval.pipeline.immunization import immunize_photographs, recipe_of
    from photoguard_eval.pipeline.photographs import find_photographs
    from photoguard_eval.pipeline.presets import find_preset
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.pipeline.worker import Worker
    from photoguard_eval.randomness import require_seed

    require_seed(options.seed)
    found = find_photographs(options.image, options.mask, options.output, options.mask_from)
    request = request_from(options, (PRESET, *MODEL_OPTIONS, *ISOLATION_OPTIONS))
    has_mask = options.mask is not None
    recipe, session = recipe_of(request, options.attack, options.prompt, options.seed, has_mask=has_mask)
    for remark in notes_on(recipe.attack, find_preset(request.preset)):
        note(remark)
    images = [photograph.image for photograph in found.photographs]
    warn_of_size(recipe.editing.model, images)
    say_what_is_left_out(found)
    recipe.require_feasible(request, images)
    for photograph in found.photographs:
        photograph.read()
    say_colours(images)
    folder = options.output if options.image.is_dir() else None
    progress = Progress(quiet=options.json or folder is None)
    with closing(Worker(session)) as worker:
        facts = immunize_photographs(found.photographs, recipe, worker, progress, folder)
    if options.json:
        print_json(facts if folder else facts[0])
    else:
        _tell(facts, recipe.attack.label, found)
    return EXIT_LEFT_OUT if found.left_out else 0


def _tell(facts: list[dict[str, Any]], attack: str, found: Found) -> None:
    for entry in facts:
        print(
            f"{entry['output']}: immunized by {attack} in {entry['seconds']:.1f} s; largest change "
            f"{entry['linf_levels']:.0f} levels of 255, root mean square {entry['rms_levels']:.2f}"
        )
    if found.left_out:
        print(f"Not immunized: {', '.join(left.path.name for left in found.left_out)}.")


COMMAND = Command(
    "immunize",
    "Immunize an image or a folder of images.",
    run,
    (
        Option("image", "the image to immunize, or a folder of images", type=Path, positional=True),
        Option("mask", "what will be edited, in white: against inpainting; or a folder", type=Path),
        MASK_FROM,
        Option("output", "the immunized PNG, or a folder for a folder", type=Path, required=True, letter="-o"),
        Option("attack", "how to immunize", "encoder", metavar="SPEC"),
        Option("prompt", "the prompt of the edit, for an attack that sees it"),
        SEED.but(help="of the attack"),
        PRESET.but(default="paper"),
        *MODEL_OPTIONS,
        *ISOLATION_OPTIONS,
        JSON.but(help="print what was measured as JSON"),
    ),
)
