"""python -m recipes.emoji_scenes dataset: makes datasets/emoji-scenes again, bit by bit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from photoguard_eval.errors import PhotoguardError
from recipes.emoji_scenes.dataset import SUBJECTS, make_dataset
from recipes.emoji_scenes.glyphs import FONT, EmojiFont

DATASET = Path(__file__).resolve().parents[2] / "datasets" / "emoji-scenes"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.emoji_scenes", description="Makes the embedded domain.")
    commands = parser.add_subparsers(dest="command", required=True)
    dataset = commands.add_parser("dataset", help="make the dataset")
    dataset.add_argument("--output", type=Path, default=DATASET, help="folder (default: datasets/emoji-scenes)")
    dataset.add_argument("--font", type=Path, default=FONT, help=f"NotoColorEmoji.ttf (default: {FONT})")
    options = parser.parse_args(arguments)
    try:
        font = EmojiFont(options.font)
        make_dataset(options.output, font)
    except PhotoguardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if not font.is_the_published_one:
        print(f"{options.font} is another version than the published dataset was drawn with.", file=sys.stderr)
    print(f"{options.output}: {len(SUBJECTS)} images")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
