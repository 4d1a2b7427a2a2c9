"""`photoguard-eval edit`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.app.command import Command, request_from
from photoguard_eval.app.options import MASK_FROM, MODEL_OPTIONS, PRESET, SEED, Option
from photoguard_eval.app.remarks import say_colours, warn_of_size

if TYPE_CHECKING:
    from photoguard_eval.pipeline.request import EvaluationRequest
    from photoguard_eval.pipeline.steps.keys import Editing


def run(options: argparse.Namespace) -> int:
    """Edit an image, and write the edit."""
    import torch

    from photoguard_eval.images.arrays import read_image, require_output, require_same_size, write_image
    from photoguard_eval.images.masks import require_latent_mask
    from photoguard_eval.pipeline.photographs import Photograph
    from photoguard_eval.randomness import require_seed

    require_seed(options.seed)
    require_output(options.output, [path for path in (options.image, options.mask, options.original) if path])
    request = request_from(options, MODEL_OPTIONS)
    editing = _editing(options, request)
    _require_feasible(editing, options.image)
    editor, settings = editing.editor.instance, editing.settings
    image, mask = Photograph(options.image, options.mask, options.output, options.mask_from).read()
    original = image if options.original is None else read_image(options.original)
    require_same_size(image, original, str(options.original))
    say_colours([options.image] if options.original is None else [options.image, options.original])
    model = request.model_choice.load()
    if mask is not None:
        require_latent_mask(mask, model.downscale_factor, str(options.mask))
    edited = editor.edit(
        model,
        image.to(model.device),
        (torch.ones_like(image[:, :1]) if mask is None else mask).to(model.device),
        (options.prompt,),
        (options.seed,),
        settings,
        originals=original.to(model.device),
    )
    editor.require_finite(edited, [str(options.image)], options.dtype)
    write_image(options.output, edited)
    print(f"{options.output}: {editor.name} in {settings.num_inference_steps} steps, seed {options.seed}")
    return 0


def _editing(options: argparse.Namespace, request: EvaluationRequest) -> Editing:
    from photoguard_eval.diffusion import EDITORS, default_editor, identify_model
    from photoguard_eval.pipeline.presets import find_preset
    from photoguard_eval.pipeline.steps.keys import Editing

    identity = identify_model(request.model, request.revision)
    editor = default_editor(identity.kind, has_mask=options.mask is not None)
    settings = find_preset(options.preset).settings(editor, identity, request.settings)
    return Editing(identity, request.placement, EDITORS.create(editor), settings)


def _require_feasible(editing: Editing, image: Path) -> None:
    """Refuse an image that the model cannot work on here, and say where it is not made for it."""
    from photoguard_eval.diffusion.native_size import require_workable_size
    from photoguard_eval.images.files import read_size
    from photoguard_eval.pipeline.processor_memory import Workload, require_memory

    warn_of_size(editing.model, [image])
    sizes = {str(image): read_size(image)}
    require_memory(Workload(editing), sizes)
    require_workable_size(editing.model, sizes)


COMMAND = Command(
    "edit",
    "Edit one image as an adversary would.",
    run,
    (
        Option("image", "the image to edit", type=Path, positional=True),
        Option("prompt", "what to edit it to", required=True),
        Option("mask", "what to repaint in white; without it the whole image is varied", type=Path),
        MASK_FROM,
        Option("original", "the image that shows in the kept region (default: the image)", type=Path),
        Option("output", "where to write the edit, a PNG", type=Path, required=True, letter="-o"),
        SEED.but(help="of the edit"),
        PRESET.but(default="paper"),
        *MODEL_OPTIONS,
    ),
)
