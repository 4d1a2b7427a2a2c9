"""The step that scores: what a column of a row depends on, and how its values are made of that alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from photoguard_eval.files import sha256_of_json
from photoguard_eval.metrics import DistributionMetric, Metric, PairwiseMetric, PromptMetric, TextImageModel
from photoguard_eval.pipeline.steps.keys import PictureFile, code_fingerprint, library_versions
from photoguard_eval.plugins.registry import Plugin

if TYPE_CHECKING:
    import torch

SCORE_CODE = ("images", "metrics", "pipeline/steps/score.py")
SCORE_LIBRARIES = ("torch", "torchvision", "piq", "torchmetrics", "open_clip_torch", "numpy", "scipy", "pillow")

Subject = Literal["edit", "immunized"]
"""What is compared with its counterpart of the original image."""


@dataclass(frozen=True)
class ScoredCase:
    """A case of a row, as a metric sees it.

    Attributes:
        name: The case, for messages; no score depends on it.
        edit: Key of the edit.
        immunized: Key of the immunized image; "" for unprotected images.
        counterpart: Key of the edit of the original image.
        original: The original image.
        mask: The region that the editor repaints; None for all of the image.
        prompt: What was asked for.
    """

    name: str
    edit: str
    immunized: str
    counterpart: str
    original: PictureFile
    mask: PictureFile | None
    prompt: str


@dataclass(frozen=True)
class ScoreInputs:
    """What a column of a row depends on.

    Attributes:
        column: Its name.
        metric: The metric.
        subject: What of each case it is about.
        network: Identity of the network that the metric uses: its own, a feature extractor or a text-image model.
        cases: The cases.
    """

    column: str
    metric: Plugin[Metric]
    subject: Subject
    network: str
    cases: tuple[ScoredCase, ...]

    @cached_property
    def key(self) -> str:
        """The hash of everything that the values depend on."""
        plugin = self.metric
        return sha256_of_json(
            {
                "step": "score",
                "code": code_fingerprint(SCORE_CODE),
                "libraries": library_versions(SCORE_LIBRARIES),
                "metric": [self.column, self.subject, plugin.arguments, plugin.inputs, plugin.fingerprint],
                "network": self.network,
                "cases": [
                    [
                        case.edit,
                        case.immunized,
                        case.counterpart,
                        case.original.sha256,
                        case.mask.identity if case.mask else "",
                        case.prompt,
                    ]
                    for case in self.cases
                ],
            }
        )


def case_values(
    inputs: ScoreInputs, image_of: Callable[[str], torch.Tensor], clip: TextImageModel, at_once: int
) -> list[float]:
    """Compute a column's value for each case, images of one size at a time.

    Args:
        inputs: Of a metric that has one.
        image_of: Returns the image of a key, (1, 3, H, W).
        clip: Embeds images and prompts, for a prompt metric.
        at_once: How many images are compared at once at most.
    """
    import torch

    metric, cases = inputs.metric.instance, inputs.cases
    shown = [image_of(case.immunized if inputs.subject == "immunized" else case.edit) for case in cases]
    values: dict[int, float] = {}
    for batch in batches_of(shown, at_once):
        images = torch.cat([shown[index] for index in batch])
        some = [cases[index] for index in batch]
        names = tuple(case.name for case in some)
        if isinstance(metric, PromptMetric):
            scores = metric.compute(clip, images, tuple(case.prompt for case in some), names)
        elif isinstance(metric, PairwiseMetric):
            others = torch.cat([_counterpart(case, inputs.subject, image_of) for case in some])
            masks = torch.cat([_mask(case, others) for case in some])
            scores = metric.compute(images, others, masks, names)
        else:
            raise TypeError(f"{type(metric)} has no value per case")
        values.update(zip(batch, scores, strict=True))
    return [values[index] for index in range(len(cases))]


def set_value(inputs: ScoreInputs, features_of: Callable[[Sequence[str]], torch.Tensor]) -> float:
    """Compute a column's one value for all cases.

    Args:
        inputs: Of a set metric.
        features_of: Returns the features of the images of keys, (keys, features).
    """
    metric = inputs.metric.instance
    if not isinstance(metric, DistributionMetric):
        raise TypeError(f"{type(metric)} is no set metric")
    edits, originals = ([getattr(case, of) for case in inputs.cases] for of in ("edit", "counterpart"))
    return metric.compute(features_of(edits), features_of(originals))


def batches_of(images: Sequence[torch.Tensor], at_once: int) -> Iterator[list[int]]:
    """Return the places of images of one size, some at once.

    Args:
        images: Each (1, 3, H, W).
        at_once: How many at most.
    """
    by_size: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        by_size.setdefault(tuple(image.shape), []).append(index)
    for indices in by_size.values():
        for start in range(0, len(indices), at_once):
            yield indices[start : start + at_once]


def _counterpart(case: ScoredCase, subject: Subject, image_of: Callable[[str], torch.Tensor]) -> torch.Tensor:
    return case.original.image() if subject == "immunized" else image_of(case.counterpart)


def _mask(case: ScoredCase, image: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.ones_like(image[:1, :1]) if case.mask is None else case.mask.mask()
