"""Whether an attack keeps its contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from photoguard_eval.attacks import ATTACKS, Attack, AttackBatch
from photoguard_eval.attacks.harness import immunize
from photoguard_eval.conformance.subjects import (
    IDS,
    PROMPTS,
    SEEDS,
    Subject,
    other_global_randomness,
    pictures,
    right_half,
    subject_of,
    with_another_first,
)
from photoguard_eval.diffusion import EDITORS, CostMeter, EditSettings, default_model, load_model
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.plugins.constructors import constructor_arguments
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion

SIZE = (64, 64)
OTHER_SIZE = (64, 96)

EDITING_STEPS = 4

SHORT = {"steps": 2, "trials": 1}
"""Arguments by which an attack is shortened that takes them and is given none."""


def check_attack(
    attack: str | type[Attack] | Attack, /, *, model: LatentDiffusion | None = None, **arguments: Any
) -> None:
    """Check that an attack keeps its contract.

    Under each editor that it supports it must return images within its budget, give the same bits for the same seeds
    whatever stands beside an image in the batch, and leave the model, torch and what it is given as they were. It must
    work at the sizes that it does not refuse, and keep its arguments under their names. An attack with an argument
    `steps` takes two, and one with `trials` one, unless it is given a number.

    Args:
        attack: A class, an instance or a spec.
        model: The model that it works against; by default the embedded one for inpainting.
        arguments: For the constructor of a class.

    Raises:
        PluginError: If it does not keep its contract; the message says in what.
        ConfigurationError: If its constructor refuses an argument, or it supports none of the editors.

    Example:
        >>> from photoguard_eval.attacks import NoiseAttack
        >>> check_attack(NoiseAttack)
    """
    if isinstance(attack, type) and issubclass(attack, Attack):
        known = constructor_arguments(attack)
        arguments = {**{name: value for name, value in SHORT.items() if name in known}, **arguments}
    subject: Subject[Attack] = subject_of(ATTACKS, attack, arguments)
    model = model or load_model(default_model("cpu"))
    refused: list[ConfigurationError] = []
    names = [name for name, editor in EDITORS.classes().items() if model.kind in editor.kinds]
    for name in names:
        try:
            _require_support(subject, model, name, SIZE)
        except ConfigurationError as error:
            refused.append(error)
            continue
        _check_under(subject, model, name)
    if len(refused) == len(names):
        raise ConfigurationError(
            f"The attack {subject.plugin.label!r} supports no editor of this model: {refused[0]}"
        ) from refused[0]


def _check_under(subject: Subject[Attack], model: LatentDiffusion, editor: str) -> None:
    images = pictures(*SIZE)
    files = _immunized(subject, model, editor, images)
    with other_global_randomness():
        again = _immunized(subject, model, editor, images)
    if again != files:
        subject.refuse(
            f"gives other images for the same seeds under {editor}. Draw random numbers from `generator` alone, and "
            "keep nothing from one call to the next."
        )
    if _immunized(subject, model, editor, with_another_first(images))[1] != files[1]:
        subject.refuse(
            f"lets an image depend on its neighbours in the batch under {editor}. Treat each image by itself, with its "
            "own generator."
        )
    try:
        _require_support(subject, model, editor, OTHER_SIZE)
    except ConfigurationError:
        return
    _immunized(subject, model, editor, pictures(*OTHER_SIZE))


def _require_support(subject: Subject[Attack], model: LatentDiffusion, editor: str, size: tuple[int, int]) -> None:
    subject.instance.require_support(model, EDITORS.create(editor).instance, {size})


def _immunized(subject: Subject[Attack], model: LatentDiffusion, editor: str, images: torch.Tensor) -> Sequence[bytes]:
    """Return the files of immunized images. The harness holds the attack to its budget and to what it may change."""
    plugin = EDITORS.create(editor)
    masks = right_half(images)
    settings = EditSettings(num_inference_steps=EDITING_STEPS).only(plugin.instance.reads_settings)
    batch = AttackBatch(
        images=images,
        masks=masks if plugin.instance.reads_mask else 0 * masks,
        prompts=PROMPTS,
        ids=IDS,
        editor=plugin.instance,
        settings=settings,
    )
    finished = subject.calls(
        lambda: immunize(
            subject.instance,
            model,
            batch,
            CaseGenerators.from_seeds(SEEDS),
            CostMeter(model),
            subject.plugin.declared,
        )
    )
    return [immunized.png for immunized in finished]
