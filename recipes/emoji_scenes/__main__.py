"""python -m recipes.emoji_scenes dataset: makes datasets/emoji-scenes again, bit by bit."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recipes.emoji_scenes.dataset import make_dataset
from recipes.emoji_scenes.scenes import FONT, MissingFontError

DATASET = Path(__file__).resolve().parents[2] / "datasets" / "emoji-scenes"


def main() -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.emoji_scenes", description="Makes the embedded domain.")
    commands = parser.add_subparsers(dest="command", required=True)
    dataset = commands.add_parser("dataset", help="make the dataset")
    dataset.add_argument("--output", type=Path, default=DATASET, help="folder (default: datasets/emoji-scenes)")
    dataset.add_argument("--font", type=Path, default=FONT, help="NotoColorEmoji.ttf")
    options = parser.parse_args()
    try:
        make_dataset(options.output, options.font)
    except MissingFontError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.output}: {len(list((options.output / 'images').glob('*.png')))} images")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
