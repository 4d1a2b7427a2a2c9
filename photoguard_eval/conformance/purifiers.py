"""Whether a purifier keeps its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from photoguard_eval.conformance.subjects import (
    SEEDS,
    Subject,
    other_global_randomness,
    pictures,
    subject_of,
    with_another_first,
)
from photoguard_eval.purifiers import PURIFIERS, Purifier
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch

SIZES = ((64, 64), (48, 72))

LEAST_SHARE = 0.1
"""Of the values of an image, that have a gradient where one passes through."""


def check_purifier(purifier: str | type[Purifier] | Purifier, /, **arguments: Any) -> None:
    """Check that a purifier keeps its contract.

    It must take and return images of any size in [0, 1], give the same bits for the same seeds whatever stands beside
    an image in the batch, leave what it is given and the global random generators alone, let a gradient pass just if
    it says so, and keep its arguments under their names.

    Args:
        purifier: A class, an instance or a spec.
        arguments: For the constructor of a class.

    Raises:
        PluginError: If it does not keep its contract; the message says in what.
        ConfigurationError: If its constructor refuses an argument.

    Example:
        >>> from photoguard_eval.purifiers import MedianPurifier
        >>> check_purifier(MedianPurifier, size=5)
    """
    subject: Subject[Purifier] = subject_of(PURIFIERS, purifier, arguments)
    if not isinstance(getattr(subject.instance, "differentiable", None), bool):
        subject.refuse("does not say whether it is differentiable. Set differentiable = True or False in the class.")
    for height, width in SIZES:
        images = pictures(height, width)
        purified = _purified(subject, images)
        with other_global_randomness():
            again = _purified(subject, images)
        if not again.equal(purified):
            subject.refuse("gives other images for the same seeds. Draw random numbers from `generators` alone.")
        if not _purified(subject, with_another_first(images))[1].equal(purified[1]):
            subject.refuse("lets an image depend on its neighbours in the batch. Treat each image by itself.")
    _require_gradient_as_declared(subject)


def _purified(subject: Subject[Purifier], images: torch.Tensor) -> torch.Tensor:
    given = images.clone()
    purified = subject.calls(lambda: subject.instance.purify(given, CaseGenerators.from_seeds(SEEDS)))
    subject.require_picture(purified, images)
    if not given.equal(images):
        subject.refuse("changes the images that it is given. Work on a copy.")
    result: torch.Tensor = purified
    return result


def _require_gradient_as_declared(subject: Subject[Purifier]) -> None:
    import torch

    images = pictures(*SIZES[0]).requires_grad_()
    with torch.enable_grad():
        purified = subject.instance.purify(images, CaseGenerators.from_seeds(SEEDS))
        gradient = None
        if purified.requires_grad:
            (gradient,) = torch.autograd.grad(purified.square().sum(), images, allow_unused=True)
    passes = gradient is not None and bool((gradient != 0).float().mean() > LEAST_SHARE)
    if passes != subject.instance.differentiable:
        subject.refuse(
            f"says differentiable = {subject.instance.differentiable}, and {'a' if passes else 'no'} gradient passes "
            "through it. Say what it is, or mend it."
        )
