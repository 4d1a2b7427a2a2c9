"""What a command says of the images that it was given, on the standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from photoguard_eval.diffusion import ModelIdentity
    from photoguard_eval.pipeline.photographs import Found


def note(text: str) -> None:
    """Say something beside what the command prints."""
    print(f"photoguard-eval: {text}", file=sys.stderr)


def say_what_is_left_out(found: Found) -> None:
    """Say which files of a folder are not immunized, and why."""
    for path in found.masks:
        note(f"{path} lies beside its image and is taken for its mask; it is not immunized.")
    for left in found.left_out:
        note(f"Left out: {left.reason}")


def say_colours(images: Sequence[Path]) -> None:
    """Say which images are converted to sRGB: what is written has no other colours."""
    from photoguard_eval.images.files import colour_remark

    for path in images:
        remark = colour_remark(path)
        if remark:
            note(f"{path}: {remark}.")


def warn_of_size(model: ModelIdentity, images: Sequence[Path]) -> None:
    """Say where images are not such as a model knows: whoever immunizes a photograph must not believe it protected."""
    from photoguard_eval.diffusion.native_size import is_far_from_native
    from photoguard_eval.images.files import read_size

    far = [(path, size) for path in images if is_far_from_native(model, size := read_size(path))]
    if far:
        path, (height, width) = far[0]
        others = f" and {len(far) - 1} more" if len(far) > 1 else ""
        side = model.native_size
        note(
            f"{model.name} was trained on images of {side} × {side}, and {path} is {width} × {height}{others}. It "
            "edits such images badly, and what is immunized against it is not protected from others. Give another with "
            "--model, or resize the images."
        )
