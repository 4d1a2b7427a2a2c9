"""The step that purifies: what a purified image depends on, and how it is made of that alone."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from photoguard_eval.errors import PhotoguardError, PluginError, described
from photoguard_eval.files import sha256_of_json
from photoguard_eval.images.arrays import decode_png, encode_png, from_8bit, to_8bit
from photoguard_eval.pipeline.steps.keys import PictureFile, code_fingerprint, library_versions
from photoguard_eval.pipeline.work import Artifact, Finished, PurifyWork
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.purifiers import Purifier
from photoguard_eval.randomness import CaseGenerators, derive_seed

if TYPE_CHECKING:
    import torch

PURIFY_CODE = ("images", "randomness.py", "purifiers/base.py", "pipeline/steps/purify.py")
"""Besides the files of a purifier's class and of those it derives from."""

PURIFY_LIBRARIES = ("torch", "kornia", "numpy", "pillow")

SLACK = 1e-4
"""How far outside of [0, 1] a value may lie: interpolation in float32 overshoots by less."""


@dataclass(frozen=True)
class PurifyInputs:
    """What a purified image depends on.

    Attributes:
        purifier: The purifier.
        name: Of the image. Random numbers are derived from it and not from the attack, so that an immunized image and
            its original are purified with the same ones.
        original: The original image.
        run_seed: Of everything random but the edits.
        immunized: Key of the immunized image; "" for the original itself.
    """

    purifier: Plugin[Purifier]
    name: str
    original: PictureFile
    run_seed: int
    immunized: str = ""

    @cached_property
    def seed(self) -> int:
        """The seed of the image's generator."""
        return derive_seed(self.run_seed, self.name, self.purifier.name, "purify")

    @cached_property
    def key(self) -> str:
        """The hash of everything that the image depends on."""
        purifier = self.purifier
        return sha256_of_json(
            {
                "step": "purify",
                "code": code_fingerprint(PURIFY_CODE),
                "machine": platform.machine(),
                "libraries": library_versions(PURIFY_LIBRARIES),
                "purifier": [purifier.name, purifier.arguments, purifier.inputs, purifier.fingerprint],
                "image": self.immunized or self.original.sha256,
                "seed": self.seed,
            }
        )


def gather(inputs: Sequence[PurifyInputs], immunized: Sequence[bytes] = ()) -> PurifyWork:
    """Read images of one row and one size that are purified.

    Args:
        inputs: Of the images.
        immunized: The files of the immunized images; empty for originals.
    """
    import torch

    images = [decode_png(png) for png in immunized] if immunized else [each.original.image() for each in inputs]
    return PurifyWork(
        purifier=inputs[0].purifier.label,
        names=tuple(each.name for each in inputs),
        seeds=tuple(each.seed for each in inputs),
        images=to_8bit(torch.cat(images)).numpy(),
    )


def run(work: PurifyWork, purifier: Plugin[Purifier]) -> Finished:
    """Purify images, on the processor: so they are the same, whatever edits them.

    Args:
        work: The images.
        purifier: The purifier that the work names.

    Raises:
        PluginError: If the purifier fails, or what it returns are not images like those that it was given.
    """
    import torch

    images = from_8bit(torch.tensor(work.images))
    try:
        with torch.no_grad():
            purified = purifier.instance.purify(images.clone(), CaseGenerators.from_seeds(work.seeds))
    except PhotoguardError:
        raise
    except Exception as error:
        raise PluginError(f"The purifier {purifier.label!r} failed: {described(error)}") from error
    _require_pictures(purified, images, purifier.label)
    return Finished(tuple(Artifact(encode_png(image)) for image in to_8bit(purified.float().clamp(0, 1)).cpu()))


def _require_pictures(purified: object, images: torch.Tensor, label: str) -> None:
    import torch

    expected = f"Expected a tensor of shape {tuple(images.shape)} with values in [0, 1]."
    if not isinstance(purified, torch.Tensor) or purified.shape != images.shape:
        found = f"shape {tuple(purified.shape)}" if isinstance(purified, torch.Tensor) else f"{type(purified).__name__}"
        raise PluginError(f"The purifier {label!r} returned {found}. {expected}")
    if not bool(torch.isfinite(purified).all()):
        raise PluginError(f"The purifier {label!r} returned values that are not finite. {expected}")
    low, high = float(purified.min()), float(purified.max())
    if low < -SLACK or high > 1 + SLACK:
        raise PluginError(f"The purifier {label!r} returned values from {low:.3f} to {high:.3f}. {expected}")
