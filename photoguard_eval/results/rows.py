"""The rows of a board, and what tells them apart: the axes along which protection is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import model_validator

from photoguard_eval.attacks.ball import budget_spec
from photoguard_eval.results.facts import AttackInfo, budget_levels
from photoguard_eval.results.fields import Amount, Frozen, Number, PositiveCount, Text

ORIGINAL = "original"
"""How the rows of the unprotected images are called."""

REROLL = "re-roll"
"""How those rows are called whose unprotected images were edited with another seed."""

REFERENCES = (ORIGINAL, REROLL)
"""Rows that are of no attack."""

OWN_SEEDS = "own"
"""The seed set that the attacks of an evaluation are measured with: of each case, its own seed."""


class Budget(Frozen):
    """How far an attack may change an image, as rows are told apart by it.

    Attributes:
        norm: "linf" or "l2", see `photoguard_eval.attacks.ThreatModel`.
        levels: The radius in levels of 255, to a thousandth: 16/255 is 16, and 0.06275 is 16.001.
    """

    norm: Literal["linf", "l2"]
    levels: Number

    def __str__(self) -> str:
        """Return such as "16/255", or "l2 16/255"."""
        return budget_spec(self.norm, self.levels)


class Purification(Frozen):
    """What is done to images before they are edited, to remove a perturbation.

    Attributes:
        purifier: Label of the purifier.
        strength: How hard it works, in its own unit; None for one that has no strengths.
    """

    purifier: Text
    strength: Number | None = None

    def __str__(self) -> str:
        """Return the label with the strength."""
        return self.purifier if self.strength is None else f"{self.purifier} at {self.strength:g}"


class RowId(Frozen):
    """What tells a row from all others: a value on each axis.

    Attributes:
        attack: Label of the attack; None for unprotected images.
        budget: Its budget; None likewise.
        purification: What is done to the image before the edit; None for nothing.
        editor: Name of the editor.
        model: Name of the model that edits.
        seeds: Which seeds the edits have: `OWN_SEEDS`, or `REROLL`.
    """

    attack: Text | None
    budget: Budget | None = None
    purification: Purification | None = None
    editor: Text
    model: Text
    seeds: Text = OWN_SEEDS

    @property
    def label(self) -> str:
        """Label of the attack, or the name of a row of unprotected images."""
        if self.attack is not None:
            return self.attack
        return ORIGINAL if self.seeds == OWN_SEEDS else self.seeds

    @property
    def reference(self) -> RowId:
        """The row that this one is compared with: unprotected images, treated and edited alike."""
        return self.model_copy(update={"attack": None, "budget": None, "seeds": OWN_SEEDS})

    def __str__(self) -> str:
        """Return the axes in words, for messages."""
        budget = f" at {self.budget}" if self.budget else ""
        purification = f", purified by {self.purification}," if self.purification else ""
        return f"{self.label}{budget}{purification} under {self.editor} of {self.model}"


class Summary(Frozen):
    """A metric over the cases.

    Attributes:
        mean: Arithmetic mean; of a set metric, its value.
        std: Standard deviation over the cases (n − 1 in the denominator), as the paper's tables; None for one case,
            and for a set metric, which has one value for all cases.
        first_quartile: 25th percentile, as Figure 7's interquartile range; None for a set metric.
        median: 50th percentile; None for a set metric.
        third_quartile: 75th percentile; None for a set metric.
    """

    mean: Number
    std: Amount | None = None
    first_quartile: Number | None = None
    median: Number | None = None
    third_quartile: Number | None = None

    @model_validator(mode="after")
    def _require_all_quartiles(self) -> Self:
        quartiles = (self.first_quartile, self.median, self.third_quartile)
        if len({value is None for value in quartiles}) > 1:
            raise ValueError("expected all three quartiles, or none")
        return self


class Cost(Frozen):
    """What immunizing one image cost, as a mean over the images.

    Attributes:
        seconds: Wall time divided by the images of the batch.
        gradient_evaluations: Gradients with respect to the image: how often one came back through the encoder.
        unet_calls: Forward passes of the UNet, counted per sample.
        encoder_calls: Forward passes of the encoder, counted per sample.
        peak_memory_mib: Growth of the process's (or the GPU's) peak memory while the batch ran.
        batch_size: How many images ran at once.
    """

    seconds: Amount
    gradient_evaluations: Amount
    unet_calls: Amount
    encoder_calls: Amount
    peak_memory_mib: Amount
    batch_size: PositiveCount


class CaseResult(Frozen):
    """One case under one attack and editor.

    Attributes:
        case_id: The case.
        immunized: Key of the immunized image's artifact; "" for the original, and in a result without its pictures.
        edit: Key of the edit's artifact; "" in a result without its pictures.
        purified: Key of the purified image, which was edited; "" without a purifier, and as above.
        linf_levels: Largest change of a channel value in the saved file, in levels of 1/255.
        rms_levels: Root mean square change over the whole image, in levels of 1/255.
        scores: Metric values by name.
    """

    case_id: Text
    immunized: Text
    edit: Text
    linf_levels: Amount
    rms_levels: Amount
    scores: dict[Text, Number]
    purified: Text = ""


def require_once(what: str, names: Sequence[str]) -> None:
    """Check that no name is there twice.

    Raises:
        ValueError: If one is.
    """
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(f"the {what} {doubled[0]} is there twice")


class ResultRow(Frozen):
    """One row of the board: an attack under an editor, and what else tells it from others.

    Attributes:
        attack: The attack with its budget; None in the rows of the original, unprotected images.
        purification: What is done to the image before the edit; None for nothing.
        editor: Name of the editor.
        model: Name of the model that edits.
        seeds: Which seeds the edits have. With `REROLL` the unprotected images are edited with another seed than all
            else, which says how far chance alone moves an edit.
        n: Number of cases.
        metrics: Every metric's summary by name.
        cases: The cases in the dataset's order.
        cost: What the attack cost; None for the originals and for folders of finished images.
    """

    attack: AttackInfo | None
    purification: Purification | None = None
    editor: Text
    model: Text
    seeds: Text = OWN_SEEDS
    n: PositiveCount
    metrics: dict[Text, Summary]
    cases: tuple[CaseResult, ...]
    cost: Cost | None = None

    @model_validator(mode="after")
    def _require_whole(self) -> Self:
        """Check that what is summed up is there: a score of each case, once."""
        require_once("case", [case.case_id for case in self.cases])
        if self.n != len(self.cases):
            raise ValueError(f"n is {self.n}, and there are {len(self.cases)} cases")
        for name, summary in self.metrics.items():
            has_std, has_quartiles = summary.std is not None, summary.median is not None
            # One case has quartiles and no standard deviation, a set metric has neither.
            if has_std != has_quartiles and (has_std or self.n > 1):
                raise ValueError(f"the summary of {name} has one of standard deviation and quartiles without the other")
        summarized = {name for name, summary in self.metrics.items() if summary.median is not None}
        for case in self.cases:
            if set(case.scores) != summarized:
                name = min(set(case.scores) ^ summarized)
                raise ValueError(f"the scores of {case.case_id} and the summaries of {self.label} differ in {name}")
        return self

    @property
    def id(self) -> RowId:
        """What tells the row from all others."""
        threat_model = self.attack.threat_model if self.attack else None
        return RowId(
            attack=self.attack.label if self.attack else None,
            budget=Budget(norm=threat_model.norm, levels=budget_levels(threat_model.epsilon)) if threat_model else None,
            purification=self.purification,
            editor=self.editor,
            model=self.model,
            seeds=self.seeds,
        )

    @property
    def rerolled(self) -> bool:
        """Whether unprotected images were edited with another seed."""
        return self.attack is None and self.seeds == REROLL

    @property
    def label(self) -> str:
        """Label of the attack, or the name of a row of unprotected images."""
        return self.id.label
