"""Whether a metric keeps its contract."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from photoguard_eval.conformance.subjects import (
    IDS,
    PROMPTS,
    Subject,
    other_global_randomness,
    pictures,
    right_half,
    subject_of,
)
from photoguard_eval.errors import MetricError
from photoguard_eval.metrics import (
    METRICS,
    DistributionMetric,
    Metric,
    PairwiseMetric,
    PromptMetric,
    select_clip,
)

if TYPE_CHECKING:
    import torch

SIDE = 64
SET_SIZE = 24
FEATURES = 8

CLOSE = 1e-4
"""Of the metric's scale: what rounding may change."""

Compute = Callable[..., Any]


def check_metric(metric: str | type[Metric] | Metric, /, **arguments: Any) -> None:
    """Check that a metric keeps its contract.

    Its values must lie in the range that it declares, be best for what is equal and worse for what is spoiled in the
    direction that it declares, not depend on what stands beside an image in the batch, and not be random. It must
    refuse images in another range, and keep its arguments under their names. One that says it is symmetric must be.

    Args:
        metric: A class, an instance or a spec.
        arguments: For the constructor of a class.

    Raises:
        PluginError: If it does not keep its contract; the message says in what.
        MetricError: If its weights are not on this machine.

    Example:
        >>> from photoguard_eval.metrics import StructuralSimilarity
        >>> check_metric(StructuralSimilarity)
    """
    subject: Subject[Metric] = subject_of(METRICS, metric, arguments)
    own = subject.instance
    _require_facts(subject)
    if own.missing():
        raise MetricError(f"The metric {own.name!r} cannot be checked here. {own.missing()}")
    if isinstance(own, PairwiseMetric):
        _check_pairwise(subject, own)
    elif isinstance(own, DistributionMetric):
        _check_distribution(subject, own)
    elif isinstance(own, PromptMetric):
        _check_prompt(subject, own)
    else:
        subject.refuse("is of no kind. Derive it from PairwiseMetric, DistributionMetric or PromptMetric.")


def _require_facts(subject: Subject[Metric]) -> None:
    own = subject.instance
    for fact in ("label", "source"):
        if not isinstance(getattr(own, fact, None), str) or not getattr(own, fact):
            subject.refuse(f"has no {fact}. Set {fact} in the class, a text.")
    if not isinstance(getattr(own, "higher_is_more_similar", None), bool):
        subject.refuse("has no direction. Set higher_is_more_similar = True or False in the class.")
    low, high = own.lower_bound, own.upper_bound
    if low is not None and high is not None and not low < high:
        subject.refuse(f"has the range [{low}, {high}]. Set a lower_bound below the upper_bound.")
    if not (math.isfinite(own.scale) and own.scale > 0):
        subject.refuse(f"has scale = {own.scale}. Set about how far images with nothing in common lie from equal ones.")


def _check_pairwise(subject: Subject[Metric], metric: PairwiseMetric) -> None:
    side = max(SIDE, metric.minimum_size)
    images = pictures(side, side)
    masks = right_half(images)

    def compute(edited: torch.Tensor, reference: torch.Tensor) -> Any:
        return metric.compute(edited, reference, masks[: len(edited)], IDS[: len(edited)])

    spoiled = _spoiled(images)
    equal = _values(subject, compute, images, images)
    values = _values(subject, compute, spoiled, images)
    _require_alone_the_same(
        subject, values, [_values(subject, compute, spoiled[i:][:1], images[i:][:1]) for i in (0, 1)]
    )
    _require_direction(subject, equal, values)
    turned = _values(subject, compute, images, spoiled)
    if metric.symmetric and not _all_close(subject, values, turned):
        subject.refuse(
            f"says that it is symmetric, and gives {turned} for {values} turned round. Set symmetric = False."
        )
    _require_refusals(subject, images, lambda wrong: compute(wrong, images))


def _check_prompt(subject: Subject[Metric], metric: PromptMetric) -> None:
    clip = select_clip("embedded", embedded_model=True)
    images = pictures(SIDE, SIDE)

    def compute(shown: torch.Tensor, prompts: Sequence[str]) -> Any:
        return metric.compute(clip, shown, prompts, IDS[: len(shown)])

    clip.embed_texts(PROMPTS)  # Loads the model.
    values = _values(subject, compute, images, PROMPTS)
    alone = [_values(subject, compute, images[i:][:1], PROMPTS[i:][:1]) for i in (0, 1)]
    _require_alone_the_same(subject, values, alone)
    _require_refusals(subject, images, lambda wrong: compute(wrong, PROMPTS))


def _check_distribution(subject: Subject[Metric], metric: DistributionMetric) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    count = max(SET_SIZE, metric.minimum_images)
    features = torch.randn((count, FEATURES), generator=generator)
    moved = features + 3 + torch.randn((count, FEATURES), generator=generator)

    def compute(edited: torch.Tensor, reference: torch.Tensor) -> Any:
        return [metric.compute(edited, reference)]

    equal, values = _values(subject, compute, features, features), _values(subject, compute, moved, features)
    _require_direction(subject, equal, values)
    order = torch.randperm(count, generator=generator)
    if not _all_close(subject, values, _values(subject, compute, moved[order], features[order])):
        subject.refuse("depends on the order of the images. A set has none.")
    try:
        compute(torch.full_like(features, math.nan), features)
    except MetricError:
        return
    subject.refuse("gives a value for features that are NaN. Raise a MetricError.")


def _values(subject: Subject[Metric], compute: Compute, *given: Any) -> list[float]:
    """Return the values of a metric, twice the same and in its range; what it is given stays as it was."""
    import torch

    copies = [value.clone() if isinstance(value, torch.Tensor) else value for value in given]
    values = subject.calls(lambda: compute(*copies))
    with other_global_randomness():
        again = subject.calls(lambda: compute(*copies))
    count = 1 if isinstance(subject.instance, DistributionMetric) else len(given[0])
    if not (isinstance(values, list) and len(values) == count and all(isinstance(value, float) for value in values)):
        subject.refuse(f"returned {values!r:.100}. Expected a number for each image, or one for a set.")
    if again != values:
        subject.refuse(f"gives {values} and then {again} for the same. A metric may not be random.")
    for copy, value in zip(copies, given, strict=True):
        if isinstance(value, torch.Tensor) and not copy.equal(value):
            subject.refuse("changes what it is given. Work on a copy.")
    low, high = _range(subject.instance)
    for value in values:
        if not low <= value <= high:
            subject.refuse(f"gives {value}, and says that its values lie in [{low:g}, {high:g}]. Correct the bounds.")
    result: list[float] = values
    return result


def _range(metric: Metric) -> tuple[float, float]:
    low, high = metric.lower_bound, metric.upper_bound
    return (-math.inf if low is None else low, math.inf if high is None else high)


def _require_direction(subject: Subject[Metric], equal: Sequence[float], spoiled: Sequence[float]) -> None:
    """Check that equal images have the best value, and that spoiled ones have a worse one."""
    metric = subject.instance
    low, high = _range(metric)
    best = metric.equal_value if metric.equal_value is not None else (high if metric.higher_is_more_similar else low)
    if math.isfinite(best) and not all(_close(metric, value, best) for value in equal):
        subject.refuse(
            f"gives {equal} for what is equal, and {best:g} is the best of its range. Correct the bounds, or set "
            "equal_value in the class."
        )
    sign = 1 if metric.higher_is_more_similar else -1
    if not all(sign * worse < sign * better for worse, better in zip(spoiled, equal, strict=True)):
        subject.refuse(
            f"gives {spoiled} for what is spoiled and {equal} for what is equal, and says higher_is_more_similar = "
            f"{metric.higher_is_more_similar}. Turn it round, or mend the metric."
        )


def _require_alone_the_same(subject: Subject[Metric], together: Sequence[float], alone: Sequence[list[float]]) -> None:
    flat = [value for values in alone for value in values]
    if not _all_close(subject, together, flat):
        subject.refuse(
            f"gives {together} for two images in one batch and {flat} for each alone. Treat each image by itself."
        )


def _require_refusals(subject: Subject[Metric], images: torch.Tensor, compute: Callable[[torch.Tensor], Any]) -> None:
    wrong = {
        "images in [-1, 1]": images * 2 - 1,
        "images in [0, 255]": images * 255,
        "images of whole numbers": (images * 255).byte(),
        "images that are NaN": images * math.nan,
    }
    for what, given in wrong.items():
        try:
            compute(given)
        except MetricError:
            continue
        subject.refuse(
            f"gives a value for {what}. Leave `compute` as it is, which refuses them, or raise a MetricError."
        )


def _spoiled(images: torch.Tensor) -> torch.Tensor:
    import torch

    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(5))
    return (images.flip(3) * 0.6 + 0.2 + 0.15 * noise).clamp(0, 1)


def _all_close(subject: Subject[Metric], values: Sequence[float], others: Sequence[float]) -> bool:
    return all(_close(subject.instance, value, other) for value, other in zip(values, others, strict=True))


def _close(metric: Metric, value: float, other: float) -> bool:
    return abs(value - other) <= CLOSE * metric.scale
