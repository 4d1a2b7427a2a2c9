"""The step that immunizes: what an immunized image depends on, and how it is made of that alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from photoguard_eval.attacks import (
    DEFAULT_BUDGET,
    Attack,
    AttackBatch,
    Ball,
    EnsembleAttack,
    GradientAttack,
    ThreatModel,
    harness,
)
from photoguard_eval.diffusion import CostMeter, Editor, EditSettings
from photoguard_eval.files import sha256_of_json
from photoguard_eval.images.arrays import from_8bit, to_8bit
from photoguard_eval.pipeline.artifacts import ImmunizedFacts
from photoguard_eval.pipeline.steps.keys import Editing, PictureFile, code_fingerprint, library_versions
from photoguard_eval.pipeline.work import Artifact, ImmunizeWork
from photoguard_eval.plugins.file_reads import files_read
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.randomness import CaseGenerators, derive_seed
from photoguard_eval.results.rows import Cost

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion

ATTACK_CODE = (
    "images",
    "randomness.py",
    "diffusion",
    "pipeline/steps/immunize.py",
    "attacks/ball.py",
    "attacks/batch.py",
    "attacks/budget.py",
    "attacks/descent.py",
    "attacks/fields.py",
    "attacks/loss_scale.py",
    "attacks/norms.py",
    "attacks/perturbation_network.py",
    "attacks/repetition.py",
    "attacks/harness.py",
    "attacks/integrity.py",
    "attacks/targets.py",
    "attacks/threat_model.py",
)
"""Besides the files of an attack's class and of those it derives from."""

ATTACK_LIBRARIES = ("numpy", "scipy", "scikit-image", "kornia")
"""Besides those of an edit."""


@dataclass(frozen=True)
class ImmunizeInputs:
    """What an immunized image depends on.

    Attributes:
        attack: The attack.
        editing: What it works against.
        name: Of the image; of the case for an attack that sees the prompt. Random numbers are derived from it.
        image: The image.
        mask: What will be edited; None without a mask.
        prompt: Of the edit.
        run_seed: Of everything random but the edits.
        budget: The run's, for an attack without one of its own.
        trusted: Whether attacks of others run in the same process as everything else.
    """

    attack: Plugin[Attack]
    editing: Editing
    name: str
    image: PictureFile
    mask: PictureFile | None
    prompt: str
    run_seed: int
    budget: Ball = DEFAULT_BUDGET
    trusted: bool = False

    @cached_property
    def threat_model(self) -> ThreatModel:
        """What the attack is held to."""
        threat_model: ThreatModel = self.attack.declared.within(self.budget)
        return threat_model

    @cached_property
    def seed(self) -> int:
        """The seed of the image's generator."""
        return derive_seed(self.run_seed, self.name, self.attack.name, self.editing.editor.name, "attack")

    @property
    def sees_mask(self) -> bool:
        """Whether the image depends on the mask."""
        return self.threat_model.sees_mask and self.editing.editor.instance.reads_mask

    @property
    def settings(self) -> EditSettings:
        """Those of the editor's settings that an attack may depend on; the others at their defaults."""
        return self.editing.settings.before_compositing()

    @property
    def _others(self) -> list[str]:
        """What keeps images apart that code of others may have forged; nothing of this package's own."""
        return [*(["of others"] if self.attack.foreign else []), *(["trusted"] if self.trusted else [])]

    @cached_property
    def key(self) -> str:
        """The hash of everything that the image depends on; what the attack does not see is left out."""
        attack, threat_model = self.attack, self.threat_model
        return sha256_of_json(
            {
                "step": "immunize",
                "code": code_fingerprint(ATTACK_CODE),
                **self.editing.facts(self.settings),
                "attack_libraries": library_versions(ATTACK_LIBRARIES),
                "attack": [attack.name, attack.arguments, attack.inputs, attack.fingerprint, *self._others],
                "budget": [threat_model.norm, threat_model.epsilon],
                "image": [self.name, self.image.sha256],
                "mask": self.mask.identity if self.mask and self.sees_mask else "",
                "prompt": self.prompt if threat_model.sees_prompt else "",
                "seed": self.seed,
            }
        )


def gather(inputs: Sequence[ImmunizeInputs], at_once: int) -> ImmunizeWork:
    """Read what images of one row and one size are immunized from.

    Args:
        inputs: Of the images.
        at_once: See `AttackBatch`.
    """
    import torch

    first = inputs[0]
    images = torch.cat([each.image.image() for each in inputs])
    blank = torch.zeros_like(images[:1, :1])
    masks = torch.cat([each.mask.mask() if each.mask else blank for each in inputs])
    return ImmunizeWork(
        attack=first.attack.label,
        editor=first.editing.editor.name,
        settings=first.editing.settings,
        names=tuple(each.name for each in inputs),
        prompts=tuple(each.prompt for each in inputs),
        seeds=tuple(each.seed for each in inputs),
        images=to_8bit(images).numpy(),
        masks=masks.to(torch.uint8).numpy(),
        budget=first.budget,
        at_once=at_once,
    )


def attack_batch(work: ImmunizeWork, editor: Editor, device: Any = "cpu") -> AttackBatch:
    """Return the batch that an attack works on; what it does not see, the harness withholds.

    Args:
        work: The images.
        editor: The editor that the work names.
        device: Where the images go.
    """
    import torch

    return AttackBatch(
        images=from_8bit(torch.tensor(work.images)).to(device),
        masks=torch.tensor(work.masks).float().to(device),
        prompts=work.prompts,
        ids=work.names,
        editor=editor,
        settings=work.settings,
        at_once=work.at_once,
        budget=work.budget,
    )


def perturb(
    work: ImmunizeWork, attack: Plugin[Attack], editor: Editor, model: LatentDiffusion
) -> tuple[torch.Tensor, dict[str, float], tuple[str, ...]]:
    """Run an attack on images, and measure what it costs.

    Args:
        work: The images.
        attack: The attack that the work names.
        editor: The editor that it names.
        model: The model that edits.

    Returns:
        The images as the attack returned them, (N, 3, H, W), float32; what it cost by the names of `Cost`; warnings.

    Raises:
        AttackError: See `photoguard_eval.attacks.harness.perturb`.
    """
    meter = CostMeter(model)
    generators = CaseGenerators.from_seeds(work.seeds)
    instance = attack.instance if work.steps is None else with_steps(attack.instance, work.steps)
    batch = attack_batch(work, editor, model.device)
    with files_read() as read:
        images = harness.perturb(instance, model, batch, generators, meter, attack.declared)
    return images.float().cpu(), meter.cost(len(work)), tuple(attack.undeclared(read))


def seal(work: ImmunizeWork, attack: Plugin[Attack], images: torch.Tensor, cost: Mapping[str, float]) -> list[Artifact]:
    """Check the budget of perturbed images against the originals, round them, and measure the files that are saved.

    Nothing of the attack's code runs here but what it declared when it was created.

    Args:
        work: The originals.
        attack: Declares the budget.
        images: What the attack returned, (N, 3, H, W), float32.
        cost: By the names of `Cost`.

    Raises:
        BudgetExceededError: If an image lies outside of the budget.
    """
    import torch

    originals = from_8bit(torch.tensor(work.images))
    sealed = harness.seal(attack.instance, attack.declared.within(work.budget).budget, originals, images, work.names)
    spent = Cost(**cost, batch_size=len(work))
    return [
        Artifact(
            each.png,
            ImmunizedFacts(
                linf_levels=each.perturbation.linf_levels, rms_levels=each.perturbation.rms_levels, cost=spent
            ).model_dump(mode="json"),
        )
        for each in sealed
    ]


def with_steps(attack: Attack, steps: int) -> Attack:
    """Return an attack that takes fewer gradient steps, for a measurement of what one costs.

    Args:
        attack: The attack.
        steps: How many at most.
    """
    shorter = copy.copy(attack)
    if isinstance(shorter, EnsembleAttack):
        shorter.members = [replace(member, instance=with_steps(member.instance, steps)) for member in shorter.members]
    elif isinstance(shorter, GradientAttack):
        shorter.steps = min(steps, shorter.steps)
    return shorter
