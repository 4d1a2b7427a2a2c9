"""What a gate report comes to: how many claims stand how, what was not kept, what was stopped."""

from __future__ import annotations

from collections import Counter

from photoguard_eval.analysis.values import Value
from photoguard_eval.results.facts import FailedAttack
from photoguard_eval.results.outcomes import ClaimOutcome, GateReport, ThresholdOutcome, Verdict


class ClaimCount(Value):
    """How a claim stands under one editor, counted over the metrics that it was measured with."""

    statement: str
    editor: str
    counts: dict[Verdict, int]


class GateSummary(Value):
    """The outcome of the gate.

    Attributes:
        passed: Whether it passes.
        baseline: The file that was compared with; "" for none.
        not_compared: Why a baseline that is there was not compared with; "" otherwise.
        claims: How many of the claims stand how.
        by_claim: The same for each claim and editor, in the order of the report.
        can_be_refuted: Whether the run is of the paper's own setting, in which claims can be refuted.
        thresholds: How many thresholds were compared.
        broken: Those that were not kept.
        stopped: Attacks that did not finish.
        ungated_metrics: Labels of the metrics that the baseline does not hold.
        ungated_attacks: Labels of the attacks that it does not hold.
    """

    passed: bool
    baseline: str
    not_compared: str
    claims: dict[Verdict, int]
    by_claim: tuple[ClaimCount, ...]
    can_be_refuted: bool
    thresholds: int
    broken: tuple[ThresholdOutcome, ...]
    stopped: tuple[FailedAttack, ...]
    ungated_metrics: tuple[str, ...]
    ungated_attacks: tuple[str, ...]


def summarize_gate(gate: GateReport) -> GateSummary:
    """Sum up what the gate found."""
    groups: dict[tuple[str, str], list[ClaimOutcome]] = {}
    for claim in gate.claims:
        groups.setdefault((claim.statement, claim.editor), []).append(claim)
    return GateSummary(
        passed=gate.passed,
        baseline=gate.baseline,
        not_compared=gate.not_compared,
        claims=Counter(claim.verdict for claim in gate.claims),
        by_claim=tuple(
            ClaimCount(statement=statement, editor=editor, counts=Counter(claim.verdict for claim in claims))
            for (statement, editor), claims in groups.items()
        ),
        can_be_refuted=any(claim.required for claim in gate.claims),
        thresholds=len(gate.thresholds),
        broken=tuple(outcome for outcome in gate.thresholds if not outcome.passed),
        stopped=gate.failures,
        ungated_metrics=gate.ungated_metrics,
        ungated_attacks=gate.ungated_attacks,
    )
