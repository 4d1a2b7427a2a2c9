"""How the harness runs an attack: guarded against what a plug-in may do, and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from photoguard_eval.attacks.ball import Ball
from photoguard_eval.attacks.base import Attack, declaration_of
from photoguard_eval.attacks.batch import AttackBatch
from photoguard_eval.attacks.budget import Perturbation, require_within_budget, round_within_budget
from photoguard_eval.attacks.integrity import watched
from photoguard_eval.attacks.threat_model import Declaration
from photoguard_eval.diffusion import CostMeter
from photoguard_eval.errors import (
    AttackError,
    ConfigurationError,
    InterferenceError,
    PhotoguardError,
    described,
    message_of,
)
from photoguard_eval.images.arrays import decode_png, encode_png, not_finite, to_8bit
from photoguard_eval.plugins.tracebacks import own_frames

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion
    from photoguard_eval.randomness import CaseGenerators


@dataclass(frozen=True)
class Immunized:
    """An immunized image as it is saved.

    Attributes:
        png: The file.
        perturbation: The change from the original, measured on the decoded file.
    """

    png: bytes
    perturbation: Perturbation


def immunize(
    attack: Attack,
    model: LatentDiffusion,
    batch: AttackBatch,
    generators: CaseGenerators,
    meter: CostMeter,
    declared: Declaration | None = None,
) -> list[Immunized]:
    """Run an attack on a batch and guard its budget.

    The attack works on copies. The change is measured from the batch's own images, which it never gets.

    Args:
        attack: The attack.
        model: The model that will edit.
        batch: The images and the run's budget, in whose place the attack's own is handed to it, if it has one; the
            prompts are withheld from an attack that does not see them, and the masks likewise.
        generators: One generator per image.
        meter: Counts what the attack costs.
        declared: What the attack declared when it was created, which it is held to; by default it is read now.

    Returns:
        One finished image per image of the batch.

    Raises:
        ConfigurationError: If the editor repaints what a mask marks and the attack, which is told, is given none, or
            the attack cannot work in the norm of the budget.
        AttackError: If the attack raises, returns anything but finite images of the batch's shape, or changes
            what it declared.
        InterferenceError: If it changes what other attacks share; the model is not to be used any more.
        BudgetExceededError: If an image is outside of the budget; the message names it and the excess.
    """
    declared = declared or declaration_of(attack)
    images = perturb(attack, model, batch, generators, meter, declared)
    return seal(attack, declared.within(batch.budget).budget, batch.images.cpu(), images.float().cpu(), batch.ids)


def perturb(
    attack: Attack,
    model: LatentDiffusion,
    batch: AttackBatch,
    generators: CaseGenerators,
    meter: CostMeter,
    declared: Declaration,
) -> torch.Tensor:
    """Run an attack on a batch; see `immunize`, whose first half this is.

    Returns:
        What the attack returned: images of the batch's shape. Their budget is not checked.
    """
    threat_model = declared.within(batch.budget)
    seen = replace(batch, budget=threat_model.budget).seen_by(threat_model)
    if threat_model.sees_mask and batch.editor.reads_mask:
        _require_masks(seen)
    with watched(attack.name, model), meter:
        images = _run(attack, model, seen.copied(), generators, declared)
    if not meter.intact:
        raise InterferenceError(f"The attack {attack.name!r} removed the hooks that count its cost. Leave them there.")
    _require_images(attack, images, batch)
    return images


def seal(
    attack: Attack, budget: Ball, originals: torch.Tensor, images: torch.Tensor, names: Sequence[str]
) -> list[Immunized]:
    """Check the budget of perturbed images, round them, and measure the files that are saved.

    Args:
        attack: Whose images they are; nothing of it is run.
        budget: The attack's own, or the run's.
        originals: Shape (N, 3, H, W), on the processor.
        images: The same shape, perturbed, float32.
        names: A name for each.

    Returns:
        One finished image for each.

    Raises:
        AttackError: If an image is not finite.
        BudgetExceededError: If an image is outside of the budget; the message names it and the excess.
    """
    unsound = not_finite(images, names)
    if unsound:
        raise AttackError(f"The attack {attack.name!r} returned NaN or infinite values for {unsound[0]}.")
    return [
        _finish(attack, budget, original, immunized, name)
        for original, immunized, name in zip(originals, images, names, strict=True)
    ]


def _require_masks(batch: AttackBatch) -> None:
    for mask, name in zip(batch.masks, batch.ids, strict=True):
        if not mask.any():
            raise ConfigurationError(
                f"{name} has no mask: the editor {batch.editor.name!r} repaints what a mask marks, and nothing is "
                "marked. Give a mask that is 1 where the image will be edited, or take an editor that varies all of it."
            )


def _run(
    attack: Attack, model: LatentDiffusion, batch: AttackBatch, generators: CaseGenerators, declared: Declaration
) -> torch.Tensor:
    """Run an attack; whatever it raises is its own error, but for an interrupt and for a GPU without memory."""
    import torch

    try:
        _require_unchanged(attack, declared)
        images = attack.perturb(model, batch, generators)
        _require_unchanged(attack, declared)
        return images.detach() if isinstance(images, torch.Tensor) else images
    except (AttackError, torch.OutOfMemoryError, KeyboardInterrupt):
        raise
    except PhotoguardError as error:
        frames = own_frames(error, type(attack).__module__)
        raise AttackError(f"The attack {attack.name!r} cannot run: {message_of(error)}").at(frames) from error
    except BaseException as error:
        frames = own_frames(error, type(attack).__module__)
        raise AttackError(
            f"The attack {attack.name!r} raised {described(error)}. Mend the attack; the others go on."
        ).at(frames) from error


def _require_unchanged(attack: Attack, declared: Declaration) -> None:
    now = declaration_of(attack)
    if now != declared:
        raise AttackError(
            f"The attack {attack.name!r} declared {declared} when it was created, and now says {now}. An attack is "
            "held to what it declared; set its budget and what it sees in the class or the constructor."
        )


def _require_images(attack: Attack, images: torch.Tensor, batch: AttackBatch) -> None:
    import torch

    expected = tuple(batch.images.shape)
    if not isinstance(images, torch.Tensor) or tuple(images.shape) != expected or not images.is_floating_point():
        got = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, torch.Tensor) else type(images)
        raise AttackError(
            f"The attack {attack.name!r} returned {got}; expected a floating-point tensor of shape {expected}."
        )


def _finish(attack: Attack, budget: Ball, original: torch.Tensor, immunized: torch.Tensor, name: str) -> Immunized:
    if attack.is_finished:
        png = encode_png(to_8bit(immunized))
    else:
        immunized = immunized.clamp(0, 1)
        require_within_budget(original, immunized, budget, name)
        png = encode_png(round_within_budget(original, immunized, budget))
    return Immunized(png, require_within_budget(original, decode_png(png)[0], budget, name))
