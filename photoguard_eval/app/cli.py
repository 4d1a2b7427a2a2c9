"""The command line: photoguard-eval.

Exit codes: 0 done; 1 the gate failed, an attack was stopped, or pictures of a folder were left out; 2 an input was
refused; 130 interrupted; 141 nobody reads on.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval.errors import ConfigurationError, PhotoguardError, StoreError, message_of
from photoguard_eval.files import named_in_errors
from photoguard_eval.plugins.tracebacks import whole
from photoguard_eval.surroundings import provide_home, spell_out_what_is_lacking
from photoguard_eval.version import __version__

if TYPE_CHECKING:
    from photoguard_eval.data.cases import Dataset
    from photoguard_eval.diffusion import LatentDiffusion, ModelIdentity
    from photoguard_eval.metrics import Metric
    from photoguard_eval.pipeline.inputs import Placement
    from photoguard_eval.pipeline.photographs import Found
    from photoguard_eval.pipeline.plan import EvaluationRequest
    from photoguard_eval.purifiers import Purifier
    from photoguard_eval.results.outcomes import GateReport

DEFAULT_STORE = Path(".photoguard/store")
DEFAULT_REPORTS = Path("reports")

OPTIONS_FROM_FILES = {
    "fromfile_prefix_chars": "@",
    "epilog": "@FILE stands for the options in a file, one a line; pytest takes it too.",
}
"""For a board that is a list of attacks, reports/boards/field.txt for example."""

EXIT_FAILED_GATE = 1
EXIT_LEFT_OUT = 1
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    spell_out_what_is_lacking(sys.stdout)
    provide_home()
    parser = build_parser()
    try:
        options = parser.parse_args(arguments)
    except UnicodeDecodeError as error:
        parser.error(f"a file of options is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8")
    try:
        if getattr(options, "gpu", False):
            # First of all: a machine without a GPU is told so, and not that it lacks the weights of a large model.
            _require_gpu()
        with named_in_errors():
            code: int = options.run(options)
        sys.stdout.flush()
    except PhotoguardError as error:
        told = [f"photoguard-eval: {message_of(error)}", error.frames, whole(error) if options.debug else ""]
        print("\n".join(filter(None, told)), file=sys.stderr)
        return error.exit_code
    except SystemExit as error:
        # Not of this package: a plug-in that asks to end the program must not pass for a command that was done.
        print(f"photoguard-eval: a plug-in ended the command with SystemExit({error.code!r}).", file=sys.stderr)
        return EXIT_FAILED_GATE
    except KeyboardInterrupt:
        print("photoguard-eval: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` has. The rest goes nowhere, or Python would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CLOSED_PIPE
    return code


def _require_gpu() -> None:
    from photoguard_eval.diffusion import require_device

    require_device("cuda")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="photoguard-eval",
        description="The benchmark for image immunization: run attacks, compare edits, keep a leaderboard.",
        epilog="Start with: photoguard-eval run --preset smoke",
    )
    parser.add_argument("--version", action="version", version=f"photoguard-eval {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_plan(commands)
    _add_immunize(commands)
    _add_edit(commands)
    _add_leaderboard(commands)
    _add_gate(commands)
    _add_seeds(commands)
    _add_attacks(commands)
    _add_cost(commands)
    _add_dataset(commands)
    _add_download(commands)
    _add_info(commands)
    return parser


def _add_run(commands: Any) -> None:
    parser = _command(commands, "run", "Evaluate attacks and write the leaderboard.", _run, **OPTIONS_FROM_FILES)
    _add_run_options(parser)
    _add_reports_option(parser)
    parser.add_argument("--fail-fast", action="store_true", help="end the run at the first attack that fails")
    parser.add_argument("--json", action="store_true", help="print the leaderboard's rows as JSON")


def _add_plan(commands: Any) -> None:
    description = "Say what a run would take, from a few measured steps."
    parser = _command(commands, "plan", description, _plan, **OPTIONS_FROM_FILES)
    _add_run_options(parser)
    parser.add_argument("--json", action="store_true", help="print as JSON")


def _add_immunize(commands: Any) -> None:
    parser = _command(commands, "immunize", "Immunize an image or a folder of images.", _immunize)
    parser.add_argument("image", type=Path, help="the image to immunize, or a folder of images")
    parser.add_argument("--mask", type=Path, help="what will be edited, in white: against inpainting; or a folder")
    _add_mask_source_option(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the immunized PNG, or a folder for a folder")
    parser.add_argument("--attack", default="encoder", metavar="SPEC", help="how to immunize (default: encoder)")
    parser.add_argument("--prompt", help="the prompt of the edit, for an attack that sees it")
    parser.add_argument("--seed", type=int, default=0, help="of the attack (default: 0)")
    _add_preset_option(parser, "paper")
    _add_model_options(parser)
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")


def _add_edit(commands: Any) -> None:
    parser = _command(commands, "edit", "Edit one image as an adversary would.", _edit)
    parser.add_argument("image", type=Path, help="the image to edit")
    parser.add_argument("--prompt", required=True, help="what to edit it to")
    parser.add_argument("--mask", type=Path, help="what to repaint in white; without it the whole image is varied")
    _add_mask_source_option(parser)
    parser.add_argument("--original", type=Path, help="the image that shows in the kept region (default: the image)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where to write the edit, a PNG")
    parser.add_argument("--seed", type=int, default=0, help="of the edit (default: 0)")
    _add_preset_option(parser, "paper")
    _add_model_options(parser)


def _add_leaderboard(commands: Any) -> None:
    parser = _command(
        commands, "leaderboard", "Rank and print the results of a store, beside those that others share.", _leaderboard
    )
    _add_store_option(parser)
    parser.add_argument(
        "--board",
        action="append",
        dest="boards",
        type=Path,
        default=[],
        metavar="PATH",
        help="results to show besides: a file that --export wrote, a folder of them, or another store. Repeat it for "
        "several",
    )
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FILE",
        help="write the latest result of the store as a file for --board, with the scores of every case",
    )
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")


def _add_gate(commands: Any) -> None:
    parser = _command(commands, "gate", "Check the latest result of a store against its baseline.", _gate)
    _add_store_option(parser)
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="the baseline (default: your own below ./baselines, else the one that the package carries)",
    )
    parser.add_argument(
        "--bless", action="store_true", help="record the result as the new baseline, and say where (see --baseline)"
    )
    parser.add_argument("--json", action="store_true", help="print all outcomes as JSON")


def _add_seeds(commands: Any) -> None:
    parser = _command(commands, "seeds", "Search good seeds for the edits of a dataset (paper, A.1).", _seeds)
    _add_model_options(parser)
    _add_evaluation_options(parser)
    parser.add_argument("--candidates", type=int, default=8, metavar="K", help="seeds per case (default: 8)")
    _add_store_option(parser)
    parser.add_argument("--output", type=Path, help="where to write the record (default: the dataset's folder)")
    parser.add_argument("--quiet", action="store_true", help="report no progress")


def _add_attacks(commands: Any) -> None:
    parser = _command(commands, "attacks", "List the attacks, what they may see and what they cost.", _attacks)
    parser.add_argument("--json", action="store_true", help="print as JSON")


def _add_cost(commands: Any) -> None:
    parser = _command(
        commands, "cost", "Count what an attack and an edit would cost, with the paper's settings.", _cost
    )
    parser.add_argument(
        "--model", help="hub id, embedded checkpoint or folder (default: Stable Diffusion 1.5 inpainting)"
    )
    parser.add_argument("--revision", help="commit of a hub model that the package does not describe")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--attack", default="diffusion", metavar="SPEC", help="a gradient attack (default: diffusion)")
    parser.add_argument("--editor", default="inpaint", help="what it immunizes against (default: inpaint)")
    parser.add_argument("--size", type=int, help="side of the image in pixels (default: the model's own)")
    parser.add_argument("--steps-through", type=int, metavar="K", help="denoising steps that the gradient goes through")
    parser.add_argument("--repetitions", type=int, metavar="R", help="edits that the gradient is averaged over")
    parser.add_argument(
        "--no-checkpointing", action="store_true", help="keep all activations rather than compute them again"
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")


def _add_dataset(commands: Any) -> None:
    description = "Check a dataset, make one of your own images, or one at another size."
    actions = commands.add_parser("dataset", help=description, description=description).add_subparsers(
        dest="action", required=True, metavar="ACTION"
    )
    parser = _command(actions, "check", "Read every file of a dataset and sum up what is there.", _check_dataset)
    parser.add_argument("dataset", help="name or folder of the dataset")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser = _command(actions, "resize", "Copy a dataset at another size.", _resize_dataset)
    parser.add_argument("dataset", help="name or folder of the dataset")
    parser.add_argument("folder", type=Path, help="where to; a new folder")
    parser.add_argument("--side", type=int, required=True, metavar="PIXELS", help="the shorter side of the images")
    parser = _command(actions, "init", "Make a dataset of images, masks and prompts.", _init_dataset)
    parser.add_argument("folder", type=Path, help="where to; a new folder")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="PNG, JPEG or WebP files")
    parser.add_argument("--masks", type=Path, required=True, metavar="DIR", help="of the same names: white is edited")
    _add_mask_source_option(parser)
    parser.add_argument(
        "--prompts",
        type=Path,
        required=True,
        metavar="FILE",
        help="one edit a line: the image's name, a tab, the prompt",
    )
    parser.add_argument("--license", default="", help="of the images")
    parser.add_argument("--author", default="", help="of the images")
    parser.add_argument("--source", default="", help="where the images come from")


def _add_download(commands: Any) -> None:
    parser = _command(commands, "download", "Fetch a model of the hub into the local cache (HF_HOME).", _download)
    parser.add_argument("model", help="hub id")
    parser.add_argument("--revision", help="commit, tag or branch (default: the pinned commit, or the newest)")


def _add_info(commands: Any) -> None:
    parser = _command(commands, "info", "List attacks, metrics, editors, presets, models and datasets.", _info)
    parser.add_argument("--json", action="store_true", help="print as JSON")


def _command(commands: Any, name: str, description: str, run: Any, **given: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=description, description=description, **given)
    parser.add_argument("--debug", action="store_true", help="show whole tracebacks of what fails")
    parser.set_defaults(run=run)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        help="embedded checkpoint, diffusers folder, safetensors file or hub id (default: inpaint-a, with --gpu Stable "
        "Diffusion)",
    )
    parser.add_argument("--revision", help="commit of a hub model")
    parser.add_argument("--gpu", action="store_true", help="run on the GPU")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument(
        "--no-checkpointing",
        action="store_false",
        default=None,
        dest="checkpointing",
        help="on a GPU, keep all activations for the gradient rather than compute them again: faster, much more memory",
    )
    parser.add_argument(
        "--vae-tiling",
        action="store_true",
        help="pass images larger than the autoencoder was trained on through it in tiles: less memory, other results",
    )
    parser.add_argument("--cpu-offload", action="store_true", help="keep the text encoders on the processor")
    parser.add_argument(
        "--compile",
        action="store_true",
        dest="compiled",
        help="compile the networks with torch.compile: minutes at the start, less time for every step of a long run",
    )
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        dest="settings",
        metavar="NAME=VALUE",
        help="a setting of the edits other than the preset's, such as num_inference_steps=50, guidance_scale=5 or "
        "composite=immunized; repeat it for several",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides which cells an evaluation has and which of them are there."""
    _add_model_options(parser)
    _add_evaluation_options(parser)
    _add_attack_option(parser)
    parser.add_argument("--seed", type=int, default=0, help="of everything random but the edits (default: 0)")
    _add_store_option(parser)
    parser.add_argument("--quiet", action="store_true", help="report no progress")


def _add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", help="name or folder of the dataset (default: emoji-scenes for embedded models, photos for others)"
    )
    _add_preset_option(parser, "ci")
    parser.add_argument("--batch-size", type=int, default=12, metavar="N", help="images at once at most (default: 12)")
    _add_workers_option(parser)
    parser.add_argument("--extractor", default="auto", help="features of FID, KID, precision and recall")
    parser.add_argument("--clip", default="auto", help="text-image model of the CLIP similarity")


def _add_workers_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that share the work (default: one on a processor, one for each visible GPU)",
    )


def _add_mask_source_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mask-from",
        choices=("colour", "transparent", "opaque"),
        default="colour",
        help="what of a mask's file is to be edited: its white (default), what is transparent, or what is opaque",
    )


def _add_attack_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--attack",
        action="append",
        metavar="SPEC",
        dest="attacks",
        help="an attack, with arguments if wanted: encoder,target=zero; a module:Class, file.py:Class or a folder of "
        "finished images. Repeat it for several (default: noise, encoder and diffusion)",
    )


def _add_preset_option(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--preset", default=default, help=f"smoke, ci or paper (default: {default})")


def _add_store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", type=Path, default=DEFAULT_STORE, metavar="DIR", help=f"the artifacts (default: {DEFAULT_STORE})"
    )


def _add_reports_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reports",
        type=Path,
        default=DEFAULT_REPORTS,
        metavar="DIR",
        help=f"where to write the leaderboard (default: {DEFAULT_REPORTS})",
    )


def make_request(options: argparse.Namespace) -> EvaluationRequest:
    """Turn options into a request; what was not given keeps its default."""
    from photoguard_eval.pipeline.plan import EvaluationRequest
    from photoguard_eval.pipeline.presets import parse_settings

    given = {
        "model": options.model,
        "revision": options.revision,
        "dataset": options.dataset,
        "preset": options.preset,
        "attacks": tuple(getattr(options, "attacks", None) or ()) or None,
        "seed": getattr(options, "seed", None),
        "device": "cuda" if options.gpu else None,
        "dtype": options.dtype,
        "batch_size": options.batch_size,
        "workers": options.workers,
        "settings": parse_settings(options.settings),
        "extractor": options.extractor,
        "clip": options.clip,
        "checkpointing": options.checkpointing,
        "vae_tiling": options.vae_tiling,
        "cpu_offload": options.cpu_offload,
        "compiled": options.compiled,
    }
    return EvaluationRequest(**{name: value for name, value in given.items() if value is not None})


def _run(options: argparse.Namespace) -> int:
    from photoguard_eval.analysis.board_rows import leaderboard_rows
    from photoguard_eval.analysis.gate import check_if_comparable
    from photoguard_eval.files import require_writable
    from photoguard_eval.pipeline.execution import OnFailure
    from photoguard_eval.pipeline.plan import build_plan
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.pipeline.store import Store
    from photoguard_eval.pipeline.workers import evaluate
    from photoguard_eval.reports import StoreImages, terminal_report, terminal_width, write_reports

    plan = build_plan(make_request(options))
    require_writable(options.reports, "--reports")
    store = Store(options.store)
    result, _ = evaluate(plan, store, Progress(quiet=options.quiet), OnFailure(options.fail_fast, options.debug))
    report = check_if_comparable(result)
    images = StoreImages(plan.dataset.path, store.image)
    paper_rows = not plan.embedded_model
    if options.json:
        _print_json(leaderboard_rows([result]))
    else:
        bold, width = sys.stdout.isatty(), terminal_width()
        print(terminal_report(result, report, paper_rows=paper_rows, bold=bold, width=width), flush=True)
    # Last, so that a full disk does not hide what was found.
    paths = write_reports(result, report, options.reports, images, paper_rows=paper_rows)
    if not options.json:
        print(f"\nLeaderboard: {paths.html.resolve()}")
    return EXIT_FAILED_GATE if result.failures else 0


def _plan(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from tabulate import tabulate

    from photoguard_eval.pipeline.forecast import forecast
    from photoguard_eval.pipeline.plan import build_plan
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.pipeline.store import Store

    predicted = forecast(build_plan(make_request(options)), Store(options.store), Progress(quiet=options.quiet))
    if options.json:
        _print_json({"seconds": predicted.seconds, **asdict(predicted)})
        return 0
    if predicted.stages:
        rows = [list(asdict(stage).values()) for stage in predicted.stages]
        print(tabulate(rows, headers=["stage", "attack", "editor", "images", "seconds"], floatfmt=".1f"))
    print(
        f"\n{predicted.seconds / 60:.1f} minutes in one process, {predicted.peak_memory_mib / 1024:.1f} GiB at most; "
        f"measured in {predicted.measured_seconds:.0f} s."
    )
    return 0


def _immunize(options: argparse.Namespace) -> int:
    from photoguard_eval.diffusion import EDITORS, default_editor, identify_model
    from photoguard_eval.diffusion.native_size import require_workable_size
    from photoguard_eval.images.files import read_size
    from photoguard_eval.pipeline.immunization import AT_ONCE_ON_PROCESSOR, Recipe, immunize_photographs
    from photoguard_eval.pipeline.inputs import Editing
    from photoguard_eval.pipeline.photographs import find_photographs
    from photoguard_eval.pipeline.plan import create_attack, notes_on
    from photoguard_eval.pipeline.presets import find_preset, parse_settings
    from photoguard_eval.pipeline.processor_memory import Workload, require_memory
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.randomness import require_seed

    require_seed(options.seed)
    found = find_photographs(options.image, options.mask, options.output, options.mask_from)
    photographs = found.photographs
    preset = find_preset(options.preset)
    attack = create_attack(options.attack, preset)
    if attack.declared.sees_prompt and not (options.prompt or "").strip():
        raise ConfigurationError(f"The attack {options.attack!r} sees the prompt of the edit. Give it with --prompt.")
    for note in notes_on(attack, preset):
        print(f"photoguard-eval: {note}", file=sys.stderr)
    identity = identify_model(_model_name(options), options.revision)
    editor = default_editor(identity.kind, has_mask=options.mask is not None)
    settings = preset.settings(editor, identity, parse_settings(options.settings))
    editing = Editing(identity, _placement(options), EDITORS.create(editor), settings)
    recipe = Recipe(attack, editing, options.prompt, options.seed)
    images = [photograph.image for photograph in photographs]
    _warn_of_size(identity, images)
    _say_what_is_left_out(found)
    sizes = {str(image): read_size(image) for image in images}
    at_once = AT_ONCE_ON_PROCESSOR if not options.gpu else 1
    require_memory(Workload(editing, attack.instance, options.checkpointing, at_once), sizes)
    if attack.instance.gradient_evaluations:
        require_workable_size(identity, sizes)
    for photograph in photographs:
        photograph.read()
    _say_colours(images)
    model = _load_model(options)
    folder = options.output if options.image.is_dir() else None
    progress = Progress(quiet=options.json or folder is None)
    facts = immunize_photographs(photographs, recipe, model, progress, folder)
    code = EXIT_LEFT_OUT if found.left_out else 0
    if options.json:
        _print_json(facts if folder else facts[0])
        return code
    for entry in facts:
        print(
            f"{entry['output']}: immunized by {attack.label} in {entry['seconds']:.1f} s; largest change "
            f"{entry['linf_levels']:.0f} levels of 255, root mean square {entry['rms_levels']:.2f}"
        )
    if found.left_out:
        print(f"Not immunized: {', '.join(left.path.name for left in found.left_out)}.")
    return code


def _edit(options: argparse.Namespace) -> int:
    import torch

    from photoguard_eval.diffusion import EDITORS, default_editor, identify_model
    from photoguard_eval.diffusion.native_size import require_workable_size
    from photoguard_eval.images.arrays import read_image, require_output, require_same_size, write_image
    from photoguard_eval.images.files import read_size
    from photoguard_eval.images.masks import require_latent_mask
    from photoguard_eval.pipeline.inputs import Editing
    from photoguard_eval.pipeline.photographs import Photograph
    from photoguard_eval.pipeline.presets import find_preset, parse_settings
    from photoguard_eval.pipeline.processor_memory import Workload, require_memory
    from photoguard_eval.randomness import require_seed

    require_seed(options.seed)
    inputs = [path for path in (options.image, options.mask, options.original) if path is not None]
    require_output(options.output, inputs)
    identity = identify_model(_model_name(options), options.revision)
    editor = default_editor(identity.kind, has_mask=options.mask is not None)
    settings = find_preset(options.preset).settings(editor, identity, parse_settings(options.settings))
    plugin = EDITORS.create(editor)
    instance = plugin.instance
    _warn_of_size(identity, [options.image])
    workload = Workload(Editing(identity, _placement(options), plugin, settings))
    sizes = {str(options.image): read_size(options.image)}
    require_memory(workload, sizes)
    require_workable_size(identity, sizes)
    image, mask = Photograph(options.image, options.mask, options.output, options.mask_from).read()
    original = image if options.original is None else read_image(options.original)
    require_same_size(image, original, str(options.original))
    _say_colours([options.image] if options.original is None else [options.image, options.original])
    model = _load_model(options)
    if mask is not None:
        require_latent_mask(mask, model.downscale_factor, str(options.mask))
    edited = instance.edit(
        model,
        image.to(model.device),
        (torch.ones_like(image[:, :1]) if mask is None else mask).to(model.device),
        (options.prompt,),
        (options.seed,),
        settings,
        originals=original.to(model.device),
    )
    instance.require_finite(edited, [str(options.image)], options.dtype)
    write_image(options.output, edited)
    print(f"{options.output}: {editor} in {settings.num_inference_steps} steps, seed {options.seed}")
    return 0


def _say_what_is_left_out(found: Found) -> None:
    for path in found.masks:
        _note(f"{path} lies beside its image and is taken for its mask; it is not immunized.")
    for left in found.left_out:
        _note(f"Left out: {left.reason}")


def _say_colours(images: Sequence[Path]) -> None:
    """Say which images are converted to sRGB: what is written has no other colours."""
    from photoguard_eval.images.files import colour_remark

    for path in images:
        remark = colour_remark(path)
        if remark:
            _note(f"{path}: {remark}.")


def _say_colours_of(dataset: Dataset) -> None:
    _say_colours(list(dict.fromkeys(case.image_path for case in dataset.cases)))


def _note(text: str) -> None:
    print(f"photoguard-eval: {text}", file=sys.stderr)


def _warn_of_size(model: ModelIdentity, images: Sequence[Path]) -> None:
    """Say where images are not such as a model knows: whoever immunizes a photograph must not believe it protected."""
    from photoguard_eval.diffusion.native_size import is_far_from_native
    from photoguard_eval.images.files import read_size

    far = [(path, size) for path in images if is_far_from_native(model, size := read_size(path))]
    if far:
        path, (height, width) = far[0]
        others = f" and {len(far) - 1} more" if len(far) > 1 else ""
        side = model.native_size
        _note(
            f"{model.name} was trained on images of {side} × {side}, and {path} is {width} × {height}{others}. It "
            "edits such images badly, and what is immunized against it is not protected from others. Give another with "
            "--model, or resize the images."
        )


def _placement(options: argparse.Namespace) -> Placement:
    from photoguard_eval.pipeline.inputs import Placement

    return Placement(options.dtype, _device(options), options.vae_tiling, options.cpu_offload, options.compiled)


def _device(options: argparse.Namespace) -> str:
    return "cuda" if options.gpu else "cpu"


def _model_name(options: argparse.Namespace) -> str:
    from photoguard_eval.diffusion import default_model

    return options.model or default_model(_device(options))


def _load_model(options: argparse.Namespace) -> LatentDiffusion:
    from photoguard_eval.diffusion import load_model

    return load_model(
        _model_name(options),
        device=_device(options),
        dtype=options.dtype,
        revision=options.revision,
        checkpointing=options.checkpointing,
        vae_tiling=options.vae_tiling,
        cpu_offload=options.cpu_offload,
        compiled=options.compiled,
    )


def _leaderboard(options: argparse.Namespace) -> int:
    from photoguard_eval.analysis.board_rows import leaderboard_rows
    from photoguard_eval.pipeline.store import Store, read_board
    from photoguard_eval.reports import leaderboard_report, terminal_width
    from photoguard_eval.results.files import write_result
    from photoguard_eval.results.sharing import shareable

    shared = {place: results for board in options.boards for place, results in read_board(board).items()}
    # Someone who only looks at a board has no store yet.
    looks_only = bool(shared) and options.store == DEFAULT_STORE and not options.store.exists()
    own = [] if looks_only and options.export is None else Store.existing(options.store).results()
    if not own and (options.export is not None or not shared):
        raise StoreError(f"{options.store} holds no result yet. Run `photoguard-eval run --store {options.store}`.")
    if options.export is not None:
        write_result(options.export, shareable(own[-1]))
    if options.json:
        _print_json(leaderboard_rows(own, shared))
        return 0
    print(leaderboard_report(own, shared, bold=sys.stdout.isatty(), width=terminal_width()), end="\n\n")
    return 0


def _gate(options: argparse.Namespace) -> int:
    from photoguard_eval.analysis.gate import bless, check
    from photoguard_eval.pipeline.store import Store
    from photoguard_eval.reports import gate_report, terminal_width

    result = Store.existing(options.store).latest_result()
    if options.bless:
        print("\n".join(bless(result, options.baseline).lines))
        return 0
    report = check(result, options.baseline)
    if options.json:
        _print_json(_gate_json(report))
    else:
        print(gate_report(result, report, width=terminal_width()))
    return 0 if report.passed else EXIT_FAILED_GATE


def _gate_json(report: GateReport) -> dict[str, Any]:
    claims = [{**claim.model_dump(mode="json"), "verdict": claim.verdict} for claim in report.claims]
    return {**report.model_dump(mode="json"), "claims": claims, "passed": report.passed}


def _seeds(options: argparse.Namespace) -> int:
    from photoguard_eval.pipeline.plan import build_plan
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.pipeline.seed_search import search_seeds, write_seeds
    from photoguard_eval.pipeline.store import Store

    plan = build_plan(make_request(options))
    command = f"photoguard-eval seeds --preset {plan.preset.name} --candidates {options.candidates}"
    found = search_seeds(plan, Store(options.store), Progress(quiet=options.quiet), options.candidates, command)
    path = write_seeds(plan, found, options.output)
    count = sum(len(cases) for cases in found.seeds.values())
    print(f"{path}: the best of {options.candidates} seeds for {count} edits")
    return 0


def _download(options: argparse.Namespace) -> int:
    from photoguard_eval.diffusion import identify_model

    identity = identify_model(options.model, options.revision)
    print(f"{identity.path}: {identity.kind}, weights {identity.weights_sha256[:12]}")
    return 0


def _attacks(options: argparse.Namespace) -> int:
    from photoguard_eval.attacks import ATTACKS
    from photoguard_eval.pipeline.presets import DEFAULT_ATTACKS
    from photoguard_eval.reports import terminal_width
    from photoguard_eval.reports.cells import table_of
    from photoguard_eval.reports.naming import budget_text, knowledge_text
    from photoguard_eval.reports.render.terminal import render_table

    rows = []
    paper = {name: number for number, name in enumerate(DEFAULT_ATTACKS)}
    ordered = sorted(ATTACKS.classes().items(), key=lambda entry: (paper.get(entry[0], len(paper)), entry[0]))
    for name, factory in ordered:
        # Finished images have been computed elsewhere: nothing can be said of them before there are any.
        if factory.is_finished:
            continue
        plugin = ATTACKS.create(name)
        attack, threat_model = plugin.instance, plugin.declared.within()
        rows.append(
            {
                "name": name,
                "paper": attack.paper,
                "budget": budget_text(threat_model),
                "sees": knowledge_text(threat_model),
                "gradient_evaluations": attack.gradient_evaluations,
                "gradient_through": attack.gradient_through,
                "presets": ", ".join(getattr(factory, "presets", {})),
            }
        )
    if options.json:
        _print_json(rows)
    else:
        print(render_table(table_of("Attacks", rows), bold=sys.stdout.isatty(), width=terminal_width()))
    return 0


def _cost(options: argparse.Namespace) -> int:
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
        _print_json({**what, **vars(costs), "tflop": costs.tflop, "edit": vars(edit)})
        return 0
    print(f"{name}, {size} × {size}, {options.dtype}: {costs.weights_gib:.1f} GiB of weights")
    print(
        f"{options.attack} against {options.editor}: {costs.tflop_per_step:.1f} TFLOP a step, {costs.tflop:,.0f} in "
        f"{costs.steps} steps; {costs.saved_gib:.1f} GiB of activations kept, {costs.peak_gib:.1f} at the peak"
    )
    print(f"an edit: {edit.tflop:.1f} TFLOP; {edit.peak_gib:.1f} GiB at the peak")
    return 0


def _check_dataset(options: argparse.Namespace) -> int:
    from photoguard_eval.data.inspection import check_dataset

    summary = check_dataset(options.dataset)
    if options.json:
        _print_json(vars(summary))
        return 0
    sizes = ", ".join(f"{count} of {size}" for size, count in summary.sizes.items())
    print(f"{summary.name}: {summary.images} images ({sizes}), {summary.cases} edits, SHA-256 {summary.sha256[:16]}…")
    print(f"The masks keep {summary.least_kept:.0%} to {summary.most_kept:.0%} of an image.")
    for remark in summary.remarks:
        print(f"Remark: {remark}")
    return 0


def _init_dataset(options: argparse.Namespace) -> int:
    from photoguard_eval.data.authoring import Provenance, create_dataset

    provenance = Provenance(options.license, options.author, options.source)
    dataset = create_dataset(
        options.folder, options.images, options.masks, options.prompts, provenance, options.mask_from
    )
    _say_colours_of(dataset)
    print(f"{dataset.path}: {len(dataset.cases)} edits. Complete its README.md, then run")
    print(f"  pytest bench/ --dataset {dataset.path}")
    return 0


def _resize_dataset(options: argparse.Namespace) -> int:
    from photoguard_eval.data.authoring import resize_dataset
    from photoguard_eval.data.cases import load_dataset

    _say_colours_of(load_dataset(options.dataset))
    dataset = resize_dataset(options.dataset, options.folder, options.side)
    print(f"{dataset.path}: {len(dataset.cases)} edits")
    return 0


def _metric_line(metric: type[Metric]) -> str:
    missing = metric.missing()
    return f"{metric.label}: {metric.source}" + (f". Left out here: {missing}" if missing else "")


def _info(options: argparse.Namespace) -> int:
    from photoguard_eval import resources
    from photoguard_eval.attacks import ATTACKS
    from photoguard_eval.data.cases import METADATA
    from photoguard_eval.diffusion import EDITORS
    from photoguard_eval.metrics import METRICS
    from photoguard_eval.pipeline.presets import PRESETS
    from photoguard_eval.purifiers import PURIFIERS
    from photoguard_eval.reports import terminal_width

    facts = {
        "version": __version__,
        "attacks": {name: attack.title or _first_line(attack) for name, attack in ATTACKS.classes().items()},
        "editors": {name: _first_line(editor) for name, editor in EDITORS.classes().items()},
        "metrics": {name: _metric_line(metric) for name, metric in METRICS.classes().items()},
        "purifiers": {name: _purifier_line(purifier) for name, purifier in PURIFIERS.classes().items()},
        "presets": {name: preset.description for name, preset in PRESETS.items()},
        "models": {name: str(path) for name, path in resources.embedded_checkpoints().items()},
        "datasets": {
            path.parent.name: str(path.parent) for path in sorted(resources.datasets_folder().glob(f"*/{METADATA}"))
        },
    }
    if options.json:
        _print_json(facts)
        return 0
    print(f"photoguard-eval {__version__}")
    for kind, entries in facts.items():
        if isinstance(entries, dict):
            print(f"\n{kind}")
            for name, text in entries.items():
                print(textwrap.fill(f"  {name:<16} {text}", terminal_width(), subsequent_indent=" " * 19))
    return 0


def _purifier_line(purifier: type[Purifier]) -> str:
    arguments = [f"{key}={value.default}" for key, value in inspect.signature(purifier).parameters.items()]
    gradient = "" if purifier.differentiable else " Not for eot: no useful gradient."
    return f"{_first_line(purifier)} With {', '.join(arguments) or 'no arguments'}.{gradient}"


def _first_line(plugin: type) -> str:
    return (plugin.__doc__ or "").strip().partition("\n")[0]


def _print_json(value: Any) -> None:
    # Escapes say in ASCII what the output could else not hold.
    holds_all = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(value, indent=1, ensure_ascii=not holds_all, allow_nan=False))


if __name__ == "__main__":
    raise SystemExit(main())
