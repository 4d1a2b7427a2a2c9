"""Purifiers: what an adversary may do to an immunized image before it is edited."""

from __future__ import annotations

from photoguard_eval.purifiers.base import PURIFIERS, Purifier, PurifierChoice, register_purifier
from photoguard_eval.purifiers.transformations import (
    BitDepthPurifier,
    BlurPurifier,
    CropPurifier,
    JpegPurifier,
    MedianPurifier,
    NoisePurifier,
    RotationPurifier,
)

__all__ = [
    "PURIFIERS",
    "BitDepthPurifier",
    "BlurPurifier",
    "CropPurifier",
    "JpegPurifier",
    "MedianPurifier",
    "NoisePurifier",
    "Purifier",
    "PurifierChoice",
    "RotationPurifier",
    "register_purifier",
]
