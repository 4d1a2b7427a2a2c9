"""Pictures of samples, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

SCALE = 2
"""Pixels a side that show one pixel of an image."""


def save_grid(path: Path, rows: Sequence[torch.Tensor]) -> None:
    """Write rows of images below each other, enlarged.

    Args:
        path: PNG to write.
        rows: Tensors of shape (N, 3, S, S) in [0, 1], one for each row.
    """
    lines = [torch.cat(list(row.clamp(0, 1)), dim=-1) for row in rows]
    sheet = (torch.cat(lines, dim=-2) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(sheet)
    picture.resize((picture.width * SCALE, picture.height * SCALE), Image.Resampling.NEAREST).save(path)
