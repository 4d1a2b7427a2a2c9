"""The rows of a plan: what is immunized and edited for each, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

from photoguard_eval.attacks import Attack
from photoguard_eval.data.cases import EditCase
from photoguard_eval.pipeline.artifacts import EditFacts, Facts, ImmunizedFacts, PurifiedFacts
from photoguard_eval.pipeline.steps.edit import EditInputs
from photoguard_eval.pipeline.steps.immunize import ImmunizeInputs
from photoguard_eval.pipeline.steps.purify import PurifyInputs
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.purifiers import Purifier
from photoguard_eval.results.facts import budget_levels
from photoguard_eval.results.rows import OWN_SEEDS, REROLL, Budget, Purification, RowId


@dataclass(frozen=True)
class ImmunizeTask:
    """An image to immunize. The prompts of an image share it, unless the attack sees the prompt.

    Attributes:
        case: The case, or the first of those that share the image.
        inputs: What the image depends on.
        facts: What the store must know of it.
        needs: Key of the image that must be there before; "" for none.
    """

    facts: ClassVar[type[Facts]] = ImmunizedFacts
    needs: ClassVar[str] = ""

    case: EditCase
    inputs: ImmunizeInputs

    @property
    def key(self) -> str:
        """Of the immunized image's artifact."""
        return self.inputs.key


@dataclass(frozen=True)
class PurifyTask:
    """An immunized image, or an original, to purify.

    Attributes:
        case: The case, or the first of those that share the image.
        inputs: What the image depends on.
        facts: What the store must know of it.
    """

    facts: ClassVar[type[Facts]] = PurifiedFacts

    case: EditCase
    inputs: PurifyInputs

    @property
    def key(self) -> str:
        """Of the purified image's artifact."""
        return self.inputs.key

    @property
    def needs(self) -> str:
        """Key of the immunized image; "" for an original."""
        return self.inputs.immunized


@dataclass(frozen=True)
class EditTask:
    """An edit of the original or of an immunized image, purified or not.

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

    @property
    def needs(self) -> str:
        """Key of the image that is edited; "" for an original as it is."""
        return self.inputs.edited


Task = ImmunizeTask | PurifyTask | EditTask

Step = Literal["immunize", "purify", "edit"]


@dataclass(frozen=True)
class Row:
    """A row of the board and the work behind it.

    Attributes:
        attack: The attack; None for the original images.
        editor: Name of the editor.
        immunize: Images to immunize; empty for the originals.
        edits: One edit per case.
        rerolled: Whether the original images are edited with another seed than everything else.
        purifier: What is done to the images before they are edited; None for nothing.
        purify: Images to purify; empty without a purifier.
    """

    attack: Plugin[Attack] | None
    editor: str
    immunize: tuple[ImmunizeTask, ...]
    edits: tuple[EditTask, ...]
    rerolled: bool = False
    purifier: Plugin[Purifier] | None = None
    purify: tuple[PurifyTask, ...] = ()

    @cached_property
    def id(self) -> RowId:
        """What tells the row from all others."""
        threat_model = self.immunize[0].inputs.threat_model if self.immunize else None
        return RowId(
            attack=self.attack.row_label if self.attack else None,
            budget=Budget(norm=threat_model.norm, levels=budget_levels(threat_model.epsilon)) if threat_model else None,
            purification=None if self.purifier is None else purification_of(self.purifier),
            editor=self.editor,
            model=(self.immunize or self.edits)[0].inputs.editing.model.name,
            seeds=REROLL if self.rerolled else OWN_SEEDS,
        )

    @property
    def label(self) -> str:
        """Label of the attack, by which a run names it, or the name of a row of unprotected images."""
        return self.id.label if self.attack is None else self.attack.label

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All images of the row."""
        return (*self.immunize, *self.purify, *self.edits)

    def tasks_of(self, step: Step) -> tuple[Task, ...]:
        """Return the images of one step."""
        if step == "edit":
            return self.edits
        return self.immunize if step == "immunize" else self.purify


def purified(row: Row, purifier: Plugin[Purifier], run_seed: int) -> Row:
    """Return a row whose images are purified before they are edited.

    Args:
        row: Without a purifier.
        purifier: The purifier.
        run_seed: Of everything random but the edits.
    """
    tasks: dict[str, PurifyTask] = {}
    edits = []
    for edit in row.edits:
        inputs = PurifyInputs(purifier, edit.case.image_id, edit.inputs.original, run_seed, edit.immunized)
        task = tasks.setdefault(inputs.key, PurifyTask(edit.case, inputs))
        edits.append(replace(edit, inputs=replace(edit.inputs, purified=task.key)))
    return replace(row, purifier=purifier, purify=tuple(tasks.values()), edits=tuple(edits))


def purification_of(purifier: Plugin[Purifier]) -> Purification:
    """Return how rows call a purifier: its label, and the strength that its class names among its arguments."""
    strength = next((purifier.arguments[axis] for axis in purifier.instance.axes), None)
    return Purification(purifier=purifier.row_label, strength=strength)
