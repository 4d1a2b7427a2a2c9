"""Cuts the subject out of a photograph: GrabCut inside of a box, corrected by polygons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Polygon = Sequence[tuple[int, int]]

ROUNDS = 8
"""Iterations of GrabCut."""

SPECK = 0.02
"""Parts of the subject smaller than this share of it are dropped."""

HOLE = 400
"""Holes in the subject of fewer pixels than this are filled."""


@dataclass(frozen=True)
class Outline:
    """Where the subject of a photograph is.

    Attributes:
        box: Left, top, right and bottom; everything outside is edited.
        edit: Polygons that are edited.
        keep: Polygons that are kept, also where they lie over one that is edited.
        drawn: Whether the polygons that are kept are the whole subject; else GrabCut looks for it in the box.
    """

    box: tuple[int, int, int, int]
    edit: Sequence[Polygon] = field(default_factory=tuple)
    keep: Sequence[Polygon] = field(default_factory=tuple)
    drawn: bool = False


def cut_out(picture: NDArray[np.uint8], outline: Outline) -> NDArray[np.uint8]:
    """Make the mask of a photograph.

    Args:
        picture: Shape (H, W, 3), RGB.
        outline: Where its subject is.

    Returns:
        Shape (H, W): 255 where it is edited, 0 where it is kept.
    """
    labels = np.full(picture.shape[:2], cv2.GC_BGD, np.uint8)
    left, top, right, bottom = outline.box
    labels[top:bottom, left:right] = cv2.GC_BGD if outline.drawn else cv2.GC_PR_FGD
    for polygons, label in ((outline.edit, cv2.GC_BGD), (outline.keep, cv2.GC_FGD)):
        cv2.fillPoly(labels, [np.array(polygon, np.int32) for polygon in polygons], int(label))
    if not outline.drawn:
        # Its colour models are initialised by k-means with OpenCV's own random generator.
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        bgr = np.ascontiguousarray(picture[..., ::-1])
        cv2.grabCut(bgr, labels, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    subject = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return np.where(_smooth(subject), 0, 255).astype(np.uint8)


def _smooth(subject: NDArray[np.uint8]) -> NDArray[np.bool_]:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    opened = cv2.morphologyEx(subject, cv2.MORPH_OPEN, disc)
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc).astype(np.uint8)
    whole = _parts(closed, closed.sum() * SPECK)
    return ~_parts((~whole).astype(np.uint8), HOLE)


def _parts(region: NDArray[np.uint8], least: float) -> NDArray[np.bool_]:
    """Return the connected parts of a region that have at least so many pixels."""
    count, numbers, facts, _ = cv2.connectedComponentsWithStats(region)
    large = [number for number in range(1, count) if facts[number, cv2.CC_STAT_AREA] >= least]
    return np.isin(numbers, large)
