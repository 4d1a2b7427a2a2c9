"""Purifiers: what an adversary may do to an immunized image before it is edited."""

from __future__ import annotations

from photoguard_eval.purifiers.base import PURIFIERS, Purifier, register_purifier
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
    "RotationPurifier",
    "register_purifier",
]
