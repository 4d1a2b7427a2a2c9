"""What the gate found, as values: claims, thresholds, and the report of both."""

from __future__ import annotations

from typing import Literal

from photoguard_eval.results.facts import FailedAttack
from photoguard_eval.results.fields import Frozen

Verdict = Literal["holds", "gained", "not reproduced", "lost", "refuted"]


class ClaimOutcome(Frozen):
    """A claim of the paper as measured.

    Attributes:
        id: Stable name, `diffusion-beats-encoder/ssim/inpaint`.
        statement: The claim in words.
        editor: The editor it was measured under.
        metric: The metric it is about.
        margin: How far the measurement goes in the claim's direction, in the metric's unit: positive where it holds.
        standard_error: Standard error of the margin over the images, paired; None for a set metric, and where there is
            a single image.
        uncertainty: How much of the margin may be chance: its standard error, or for a set metric how far the values of
            both rows may move between processors; None where there is a single image, of which nothing follows.
        holds: Whether the margin is positive.
        held_in_baseline: Whether it clearly held when the baseline was blessed; None without a baseline, and where the
            attacks do not have the preset's arguments.
        of_the_preset: Whether they have.
        required: Whether the run is of the paper's own setting, in which the claim must hold.
    """

    id: str
    statement: str
    editor: str
    metric: str
    margin: float
    standard_error: float | None
    uncertainty: float | None
    holds: bool
    held_in_baseline: bool | None
    of_the_preset: bool = True
    required: bool = False

    @property
    def clearly_holds(self) -> bool:
        """Whether it holds by more than may be chance; never where that is not known."""
        return self.uncertainty is not None and self.margin > self.uncertainty

    @property
    def clearly_fails(self) -> bool:
        """Whether the opposite holds by more than may be chance; never where that is not known."""
        return self.uncertainty is not None and self.margin < -self.uncertainty

    @property
    def verdict(self) -> Verdict:
        """How the claim stands.

        One that held in the baseline and no longer does is lost, one that the paper's own setting contradicts by more
        than may be chance is refuted; either fails the gate.
        """
        if self.holds:
            return "gained" if self.held_in_baseline is False else "holds"
        if self.held_in_baseline:
            return "lost"
        return "refuted" if self.required and self.clearly_fails else "not reproduced"


class ThresholdOutcome(Frozen):
    """A measured mean beside the baseline's.

    Attributes:
        attack: Label of the attack; "original" or "re-roll" for the unprotected images.
        editor: The editor.
        metric: The metric.
        baseline: The recorded mean.
        measured: The measured mean.
        tolerance: How far the mean may move to the worse side (of a floor: to either side).
        side: Which side is worse: the value must not be "above" or "below" the baseline, or move to "either" side.
        passed: Whether it stayed within the tolerance.
        reason: Why the tolerance is what it is.
        cases: How many cases were compared one by one; 0 for a set metric, and where the baseline has no scores of
            cases.
        cases_beyond: How many of them moved to the worse side by more than the tolerance.
        worst_case: The case that moved furthest to the worse side; "" where none was compared.
        worst_change: By how much its score rose or fell.
    """

    attack: str
    editor: str
    metric: str
    baseline: float
    measured: float
    tolerance: float
    side: Literal["above", "below", "either"]
    passed: bool
    reason: str
    cases: int = 0
    cases_beyond: int = 0
    worst_case: str = ""
    worst_change: float = 0.0

    @property
    def cases_text(self) -> str:
        """Which cases moved, in a few words; "" where none was compared."""
        if not self.cases:
            return ""
        return f"{self.cases_beyond} of {self.cases} cases by more, most {self.worst_case} ({self.worst_change:+.3f})"


class GateReport(Frozen):
    """What the gate found: every claim, and every threshold if there is a baseline.

    Attributes:
        baseline: The file that was compared with; "" if there is none for this model, dataset and preset.
        claims: All claims, those that do not hold included.
        thresholds: All thresholds.
        failures: Attacks that were stopped during the evaluation; they fail the gate.
        ungated_metrics: Labels of the metrics of other packages that the baseline does not hold.
        ungated_attacks: Labels of the attacks that it does not hold.
        not_compared: Why a baseline that is there was not compared with; "" otherwise.
    """

    baseline: str
    claims: tuple[ClaimOutcome, ...]
    thresholds: tuple[ThresholdOutcome, ...]
    failures: tuple[FailedAttack, ...] = ()
    ungated_metrics: tuple[str, ...] = ()
    ungated_attacks: tuple[str, ...] = ()
    not_compared: str = ""

    @property
    def passed(self) -> bool:
        """Whether no claim was lost or refuted, every threshold was kept and no attack was stopped."""
        failed = any(claim.verdict in ("lost", "refuted") for claim in self.claims)
        return not failed and all(threshold.passed for threshold in self.thresholds) and not self.failures
