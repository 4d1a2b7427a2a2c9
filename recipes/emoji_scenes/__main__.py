"""python -m recipes.emoji_scenes COMMAND: makes the embedded domain, from nothing.

`all` trains every checkpoint in order, makes the dataset and measures the quality; a checkpoint's name makes and
measures that one. Each goes on where an earlier run stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from photoguard_eval import resources
from photoguard_eval.errors import PhotoguardError
from photoguard_eval.pipeline.store import Store
from recipes.emoji_scenes.checkpoints import NAMES, Workshop
from recipes.emoji_scenes.dataset import SEED, SUBJECTS, make_dataset
from recipes.emoji_scenes.effect import describe_effect
from recipes.emoji_scenes.glyphs import FONT, EmojiFont

ROOT = Path(__file__).resolve().parents[2]
DATASET = ROOT / "datasets" / "emoji-scenes"
STORE = ROOT / ".photoguard" / "store"
TRAINING = ROOT / ".photoguard" / "training"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "effect":
            print(describe_effect(Store.existing(options.store).latest_result()))
            return 0
        font = EmojiFont(options.font)
        if options.command in ("dataset", "all"):
            make_dataset(options.dataset, font, options.seed)
            print(f"{options.dataset}: {len(SUBJECTS)} images")
        if options.command != "dataset":
            _work_on_checkpoints(options, font)
    except PhotoguardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if not font.is_the_published_one:
        print(f"{options.font} is another version than the published dataset was drawn with.", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recipes.emoji_scenes", description="Makes the embedded domain.")
    parser.add_argument(
        "command",
        choices=["all", "dataset", *NAMES, "evaluate", "effect"],
        help="what to make: everything, the dataset, a checkpoint, the quality in the checkpoints' cards, or a table "
        "of the paper's effect from a finished evaluation",
    )
    parser.add_argument("--font", type=Path, default=FONT, help=f"NotoColorEmoji.ttf (default: {FONT})")
    parser.add_argument("--dataset", type=Path, default=DATASET, help="folder (default: datasets/emoji-scenes)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the dataset's scenes (default: {SEED})")
    parser.add_argument(
        "--output",
        type=Path,
        default=resources.CHECKPOINTS,
        help="folder of finished checkpoints (default: package)",
    )
    parser.add_argument(
        "--training", type=Path, default=TRAINING, help="folder of unfinished trainings (default: .photoguard/training)"
    )
    parser.add_argument(
        "--store", type=Path, default=STORE, help="folder of the finished evaluation (default: .photoguard/store)"
    )
    parser.add_argument(
        "--precision",
        choices=["no", "bf16"],
        default="no",
        help="bf16 trains in bfloat16: several times faster where the processor has it (amx_bf16), slower elsewhere",
    )
    parser.add_argument("--compile", action="store_true", help="compile UNets for training, which takes a C++ compiler")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch; weights depend on it (default: 2)")
    parser.add_argument("--shorten", type=int, default=1, help="divide the length of every training, for a trial")
    return parser


def _work_on_checkpoints(options: argparse.Namespace, font: EmojiFont) -> None:
    import torch

    from recipes.emoji_scenes.cards import measure_and_describe

    torch.set_num_threads(options.threads)
    workshop = Workshop(options.training, options.output, font, options.precision, options.compile, options.shorten)
    names = [options.command] if options.command in NAMES else NAMES
    for name in names:
        if options.command != "evaluate":
            workshop.make(name)
    measure_and_describe(options.output, font, names)


if __name__ == "__main__":
    raise SystemExit(main())
