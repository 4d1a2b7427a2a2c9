"""`photoguard-eval immunize`."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval.app.command import EXIT_LEFT_OUT, Command, print_json, request_from
from photoguard_eval.app.options import ISOLATION_OPTIONS, JSON, MASK_FROM, MODEL_OPTIONS, PRESET, SEED, Option
from photoguard_eval.app.remarks import note, say_colours, say_what_is_left_out, warn_of_size
from photoguard_eval.errors import ConfigurationError

if TYPE_CHECKING:
    from photoguard_eval.pipeline.immunization import Recipe
    from photoguard_eval.pipeline.photographs import Found
    from photoguard_eval.pipeline.request import EvaluationRequest
    from photoguard_eval.pipeline.session import Session


def run(options: argparse.Namespace) -> int:
    """Immunize an image, or all images of a folder, and print what was measured."""
    from photoguard_eval.pipeline.immunization import immunize_photographs
    from photoguard_eval.pipeline.photographs import find_photographs
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.pipeline.worker import Worker
    from photoguard_eval.randomness import require_seed

    require_seed(options.seed)
    found = find_photographs(options.image, options.mask, options.output, options.mask_from)
    request = request_from(options, (*MODEL_OPTIONS, *ISOLATION_OPTIONS))
    recipe, session = _recipe(options, request)
    _require_feasible(recipe, request, found)
    for photograph in found.photographs:
        photograph.read()
    say_colours([photograph.image for photograph in found.photographs])
    folder = options.output if options.image.is_dir() else None
    progress = Progress(quiet=options.json or folder is None)
    with closing(Worker(session)) as worker:
        facts = immunize_photographs(found.photographs, recipe, worker, progress, folder)
    if options.json:
        print_json(facts if folder else facts[0])
    else:
        _tell(facts, recipe.attack.label, found)
    return EXIT_LEFT_OUT if found.left_out else 0


def _recipe(options: argparse.Namespace, request: EvaluationRequest) -> tuple[Recipe, Session]:
    from photoguard_eval.diffusion import EDITORS, default_editor, identify_model
    from photoguard_eval.pipeline.attacks import notes_on, plan_attack
    from photoguard_eval.pipeline.immunization import Recipe
    from photoguard_eval.pipeline.presets import find_preset
    from photoguard_eval.pipeline.session import Session
    from photoguard_eval.pipeline.steps.keys import Editing

    preset = find_preset(options.preset)
    planned = plan_attack(options.attack, preset, trusted=request.trusted)
    attack = planned.plugin
    if attack.declared.sees_prompt and not (options.prompt or "").strip():
        raise ConfigurationError(f"The attack {options.attack!r} sees the prompt of the edit. Give it with --prompt.")
    for remark in notes_on(attack, preset):
        note(remark)
    identity = identify_model(request.model, request.revision)
    editor = default_editor(identity.kind, has_mask=options.mask is not None)
    settings = preset.settings(editor, identity, request.settings)
    editing = Editing(identity, request.placement, EDITORS.create(editor), settings)
    recipe = Recipe(attack, editing, options.prompt, options.seed)
    return recipe, Session(request.model_choice, preset.name, {attack.label: planned.source}, request.limits)


def _require_feasible(recipe: Recipe, request: EvaluationRequest, found: Found) -> None:
    """Refuse images that the model cannot work on here, and say which it is not made for."""
    from photoguard_eval.diffusion.native_size import require_workable_size
    from photoguard_eval.images.files import read_size
    from photoguard_eval.pipeline.immunization import AT_ONCE_ON_PROCESSOR
    from photoguard_eval.pipeline.processor_memory import Workload, require_memory

    attack, identity = recipe.attack.instance, recipe.editing.model
    images = [photograph.image for photograph in found.photographs]
    warn_of_size(identity, images)
    say_what_is_left_out(found)
    sizes = {str(image): read_size(image) for image in images}
    at_once = AT_ONCE_ON_PROCESSOR if request.device == "cpu" else 1
    require_memory(Workload(recipe.editing, attack, request.checkpointing, at_once), sizes)
    if attack.gradient_evaluations:
        require_workable_size(identity, sizes)


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
