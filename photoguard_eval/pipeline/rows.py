"""The rows of a plan: what is immunized and edited for each, as data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from photoguard_eval.attacks import Attack
from photoguard_eval.data.cases import EditCase
from photoguard_eval.pipeline.artifacts import EditFacts, Facts, ImmunizedFacts
from photoguard_eval.pipeline.steps.edit import EditInputs
from photoguard_eval.pipeline.steps.immunize import ImmunizeInputs
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.results.facts import budget_levels
from photoguard_eval.results.rows import OWN_SEEDS, REROLL, Budget, RowId


@dataclass(frozen=True)
class ImmunizeTask:
    """An image to immunize. The prompts of an image share it, unless the attack sees the prompt.

    Attributes:
        case: The case, or the first of those that share the image.
        inputs: What the image depends on.
        facts: What the store must know of it.
    """

    facts: ClassVar[type[Facts]] = ImmunizedFacts

    case: EditCase
    inputs: ImmunizeInputs

    @property
    def key(self) -> str:
        """Of the immunized image's artifact."""
        return self.inputs.key


@dataclass(frozen=True)
class EditTask:
    """An edit of the original or of an immunized image.

    Attributes:
        case: The case.
        inputs: What the edit depends on.
        facts: What the store must know of it.
    """

    facts: ClassVar[type[Facts]] = EditFacts

    case: EditCase
    inputs: EditInputs

    @property
    def key(self) -> str:
        """Of the edit's artifact."""
        return self.inputs.key

    @property
    def seed(self) -> int:
        """The seed of the edit."""
        return self.inputs.seed

    @property
    def immunized(self) -> str:
        """Key of the immunized image; "" for an edit of the original."""
        return self.inputs.immunized


Task = ImmunizeTask | EditTask


@dataclass(frozen=True)
class Row:
    """A row of the board and the work behind it.

    Attributes:
        attack: The attack; None for the original images.
        editor: Name of the editor.
        immunize: Images to immunize; empty for the originals.
        edits: One edit per case.
        rerolled: Whether the original images are edited with another seed than everything else.
    """

    attack: Plugin[Attack] | None
    editor: str
    immunize: tuple[ImmunizeTask, ...]
    edits: tuple[EditTask, ...]
    rerolled: bool = False

    @cached_property
    def id(self) -> RowId:
        """What tells the row from all others."""
        threat_model = self.immunize[0].inputs.threat_model if self.immunize else None
        return RowId(
            attack=self.attack.row_label if self.attack else None,
            budget=Budget(norm=threat_model.norm, levels=budget_levels(threat_model.epsilon)) if threat_model else None,
            editor=self.editor,
            model=self.tasks[0].inputs.editing.model.name,
            seeds=REROLL if self.rerolled else OWN_SEEDS,
        )

    @property
    def label(self) -> str:
        """Label of the attack, by which a run names it, or the name of a row of unprotected images."""
        return self.id.label if self.attack is None else self.attack.label

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All images of the row."""
        return (*self.immunize, *self.edits)
