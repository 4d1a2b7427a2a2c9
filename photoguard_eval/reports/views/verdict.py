"""What the gate found: how the claims stand, which thresholds were not kept, and the outcome in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from photoguard_eval.analysis.verdict import GateSummary
from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.document import Block, Section, Text, Verdict
from photoguard_eval.reports.naming import MISSING, decimals_for, metric_label, number, trusted_notes
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.results.facts import FailedAttack
from photoguard_eval.results.outcomes import ThresholdOutcome
from photoguard_eval.results.outcomes import Verdict as ClaimVerdict
from photoguard_eval.results.schema import EvaluationResult

VERDICTS: tuple[ClaimVerdict, ...] = ("holds", "gained", "not reproduced", "lost", "refuted")

_SIDES = {
    "above": "may not rise by more than",
    "below": "may not fall by more than",
    "either": "may not move more than",
}


def verdict_section(subject: Subject) -> Iterator[Section]:
    """Say how the claims stand, what was not kept and how the gate ends."""
    notes = (Text((note,)) for note in trusted_notes(subject.result))
    yield Section("Verdict", "verdict", (*notes, *gate_blocks(subject.result, subject.findings.gate)))


def gate_blocks(result: EvaluationResult, gate: GateSummary) -> tuple[Block, ...]:
    """Return how the claims stand, the thresholds that were not kept, and the verdict."""
    return (*claims_summary(gate), *broken_thresholds(result, gate), verdict_of(gate))


def claims_summary_section(subject: Subject) -> Iterator[Section]:
    """Count how the claims stand."""
    yield from (Section("", "", (table,)) for table in claims_summary(subject.findings.gate))


def broken_thresholds_section(subject: Subject) -> Iterator[Section]:
    """Show the thresholds that were not kept, if there are any."""
    yield from (Section("", "", (table,)) for table in broken_thresholds(subject.result, subject.findings.gate))


def verdict_of(gate: GateSummary) -> Verdict:
    """Put the gate's outcome into sentences."""
    lost, refuted, broken = gate.claims.get("lost", 0), gate.claims.get("refuted", 0), len(gate.broken)
    reasons = [
        text
        for count, text in (
            (broken, f"{_count(broken, 'threshold')} not kept"),
            (lost, f"{_count(lost, 'claim')} lost"),
            (refuted, f"{_count(refuted, 'claim')} refuted in the paper's own setting"),
            (len(gate.stopped), f"{_count(len(gate.stopped), 'attack')} stopped"),
        )
        if count
    ]
    return Verdict(
        passed=gate.passed,
        compared=bool(gate.baseline),
        headline=_headline(gate, reasons),
        details=(_claims_sentence(gate), *_ungated_sentence(gate)),
        stopped=tuple(map(_stopped_sentence, gate.stopped)),
    )


def claims_summary(gate: GateSummary) -> Iterator[Table]:
    """Count for each claim and editor, over the metrics it was measured with, how it stands."""
    if not gate.by_claim:
        return
    # A claim can be refuted in the paper's own setting only; elsewhere the column would be empty.
    verdicts = [name for name in VERDICTS if name != "refuted" or gate.can_be_refuted]
    header = (
        Column("Claim of the paper", numeric=False),
        Column("Editor", numeric=False),
        *(Column(name) for name in verdicts),
    )
    rows = tuple(
        Row(
            (
                Cell(claim.statement),
                Cell(claim.editor),
                *(Cell(str(claim.counts.get(verdict, 0))) for verdict in verdicts),
            )
        )
        for claim in gate.by_claim
    )
    yield Table("Claims of the paper, counted over metrics", header, rows)


def broken_thresholds(result: EvaluationResult, gate: GateSummary) -> Iterator[Table]:
    """Show the thresholds that were not kept: what was recorded, what was measured and what is tolerated."""
    if not gate.broken:
        return
    header = (
        Column("Attack", numeric=False),
        Column("Editor", numeric=False),
        Column("Metric", numeric=False),
        Column("Baseline"),
        Column("Measured"),
        Column("Change"),
        Column("Rule", numeric=False),
        Column("Tolerance"),
        Column("Cases", numeric=False),
    )
    rows = tuple(
        Row((Cell(outcome.attack), Cell(outcome.editor), *_threshold_cells(result, outcome))) for outcome in gate.broken
    )
    reasons = tuple(dict.fromkeys(f"Tolerance: {outcome.reason}." for outcome in gate.broken))
    yield Table("Thresholds that were not kept", header, rows, reasons)


def _threshold_cells(result: EvaluationResult, outcome: ThresholdOutcome) -> tuple[Cell, ...]:
    change = outcome.measured - outcome.baseline
    decimals = decimals_for([min(abs(change), abs(outcome.tolerance)) or abs(outcome.baseline)])
    return (
        Cell(metric_label(result, outcome.metric)),
        Cell(number(outcome.baseline, decimals)),
        Cell(number(outcome.measured, decimals)),
        Cell(number(change, decimals, signed=True)),
        Cell(_SIDES[outcome.side]),
        Cell(number(outcome.tolerance, decimals)),
        Cell(outcome.cases_text or MISSING),
    )


def _stopped_sentence(failure: FailedAttack) -> str:
    return f"Stopped: {failure.attack} ({failure.editor}): {failure.error}"


def _headline(gate: GateSummary, reasons: Sequence[str]) -> str:
    if not gate.passed:
        return f"The gate fails: {', '.join(reasons)}."
    if gate.not_compared:
        return f"The gate compared nothing. {gate.not_compared}"
    if not gate.baseline:
        return "The gate has nothing to compare with: no baseline is recorded for this model, dataset and preset."
    return f"The gate passes: {_count(gate.thresholds, 'threshold')} kept ({gate.baseline}), no claim lost."


def _claims_sentence(gate: GateSummary) -> str:
    held = gate.claims.get("holds", 0) + gate.claims.get("gained", 0)
    parts = [
        f"{held} of {sum(gate.claims.values())} hold",
        f"{gate.claims.get('not reproduced', 0)} not reproduced",
    ]
    if gate.baseline:
        parts.append(f"{gate.claims.get('lost', 0)} lost since the baseline")
    return f"Claims of the paper, measured here: {', '.join(parts)}."


def _ungated_sentence(gate: GateSummary) -> tuple[str, ...]:
    kinds = (("metric", gate.ungated_metrics), ("attack", gate.ungated_attacks))
    parts = [f"the {noun}{'s' if len(names) > 1 else ''} {', '.join(names)}" for noun, names in kinds if names]
    return (f"Not in the baseline, so shown and not gated: {'; '.join(parts)}.",) if parts else ()


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
