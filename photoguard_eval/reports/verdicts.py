"""What the gate found, for people: one sentence, the claims, and the thresholds that were not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.naming import MISSING, decimals_for, number
from photoguard_eval.results.outcomes import ClaimOutcome, GateReport, ThresholdOutcome, Verdict
from photoguard_eval.results.schema import EvaluationResult

VERDICTS: tuple[Verdict, ...] = ("holds", "gained", "not reproduced", "lost", "refuted")

NOTE_CLAIMS = (
    "Each cell is the margin ± its standard error over the images in the metric's unit, positive where the measurement "
    "supports the claim. ✓ holds (gained: it did not clearly hold in the baseline); ✗ not reproduced; or lost: it "
    "clearly held in the baseline; or refuted: this is the paper's own setting, and the margin is below zero by more "
    "than may be chance. The last two fail the gate. Set metrics have one value and no error; nor has a single image."
)
_SIDES = {
    "above": "may not rise by more than",
    "below": "may not fall by more than",
    "either": "may not move more than",
}


@dataclass(frozen=True)
class GateVerdict:
    """The gate in sentences.

    Attributes:
        passed: Whether it passes.
        headline: The outcome.
        details: What it rests on.
    """

    passed: bool
    headline: str
    details: tuple[str, ...]


def gate_verdict(gate: GateReport) -> GateVerdict:
    """Put the gate's outcome into sentences."""
    counts = Counter(claim.verdict for claim in gate.claims)
    broken = len(failed_thresholds(gate))
    reasons = [
        text
        for count, text in (
            (broken, f"{_count(broken, 'threshold')} not kept"),
            (counts["lost"], f"{_count(counts['lost'], 'claim')} lost"),
            (counts["refuted"], f"{_count(counts['refuted'], 'claim')} refuted in the paper's own setting"),
            (len(gate.failures), f"{_count(len(gate.failures), 'attack')} stopped"),
        )
        if count
    ]
    details = (_claims_sentence(counts, bool(gate.baseline)), *_ungated_sentence(gate))
    return GateVerdict(gate.passed, _headline(gate, reasons), details)


def failed_thresholds(gate: GateReport) -> tuple[ThresholdOutcome, ...]:
    """Return the thresholds that were not kept."""
    return tuple(outcome for outcome in gate.thresholds if not outcome.passed)


def claims_summary(gate: GateReport) -> Table:
    """Count for each claim and editor, over the metrics it was measured with, how it stands."""
    groups: dict[tuple[str, str], list[ClaimOutcome]] = {}
    for claim in gate.claims:
        groups.setdefault((claim.statement, claim.editor), []).append(claim)
    # A claim can be refuted in the paper's own setting only; elsewhere the column would be empty.
    verdicts = [name for name in VERDICTS if name != "refuted" or any(claim.required for claim in gate.claims)]
    header = (
        Column("Claim of the paper", numeric=False),
        Column("Editor", numeric=False),
        *(Column(name) for name in verdicts),
    )
    rows = []
    for (statement, editor), claims in groups.items():
        counts = Counter(claim.verdict for claim in claims)
        rows.append(Row((Cell(statement), Cell(editor), *(Cell(str(counts[verdict])) for verdict in verdicts))))
    return Table("Claims of the paper, counted over metrics", header, tuple(rows))


def claims_table(result: EvaluationResult, gate: GateReport, editor: str) -> Table:
    """Return the claims under one editor: a row per metric, a column per claim."""
    claims = [claim for claim in gate.claims if claim.editor == editor]
    names = list(dict.fromkeys(_short_name(claim) for claim in claims))
    metrics = list(dict.fromkeys(claim.metric for claim in claims))
    found = {(claim.metric, _short_name(claim)): claim for claim in claims}
    rows = tuple(
        Row((Cell(_metric_label(result, metric)), *(_claim_cell(found.get((metric, name))) for name in names)))
        for metric in metrics
    )
    statements = {_short_name(claim): claim.statement for claim in claims}
    notes = (NOTE_CLAIMS, *(f"{name}: {statement}." for name, statement in statements.items()))
    header = (Column("Metric", numeric=False), *(Column(name) for name in names))
    return Table("Claims of the paper with their margins", header, rows, notes)


def thresholds_table(result: EvaluationResult, outcomes: Sequence[ThresholdOutcome]) -> Table:
    """Return thresholds with what was recorded, what was measured and what is tolerated."""
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
        Row((Cell(outcome.attack), Cell(outcome.editor), *_threshold_cells(result, outcome))) for outcome in outcomes
    )
    reasons = tuple(dict.fromkeys(f"Tolerance: {outcome.reason}." for outcome in outcomes))
    return Table("Thresholds that were not kept", header, rows, reasons)


def _threshold_cells(result: EvaluationResult, outcome: ThresholdOutcome) -> tuple[Cell, ...]:
    change = outcome.measured - outcome.baseline
    decimals = decimals_for([min(abs(change), abs(outcome.tolerance)) or abs(outcome.baseline)])
    return (
        Cell(_metric_label(result, outcome.metric)),
        Cell(number(outcome.baseline, decimals)),
        Cell(number(outcome.measured, decimals)),
        Cell(number(change, decimals, signed=True)),
        Cell(_SIDES[outcome.side]),
        Cell(number(outcome.tolerance, decimals)),
        Cell(outcome.cases_text or MISSING),
    )


def _headline(gate: GateReport, reasons: Sequence[str]) -> str:
    if not gate.passed:
        return f"The gate fails: {', '.join(reasons)}."
    if gate.not_compared:
        return f"The gate compared nothing. {gate.not_compared}"
    if not gate.baseline:
        return "The gate has nothing to compare with: no baseline is recorded for this model, dataset and preset."
    return f"The gate passes: {_count(len(gate.thresholds), 'threshold')} kept ({gate.baseline}), no claim lost."


def _claims_sentence(counts: Counter[Verdict], compared: bool) -> str:
    total = sum(counts.values())
    held = counts["holds"] + counts["gained"]
    parts = [f"{held} of {total} hold", f"{counts['not reproduced']} not reproduced"]
    if compared:
        parts.append(f"{counts['lost']} lost since the baseline")
    return f"Claims of the paper, measured here: {', '.join(parts)}."


def _ungated_sentence(gate: GateReport) -> tuple[str, ...]:
    kinds = (("metric", gate.ungated_metrics), ("attack", gate.ungated_attacks))
    parts = [f"the {noun}{'s' if len(names) > 1 else ''} {', '.join(names)}" for noun, names in kinds if names]
    return (f"Not in the baseline, so shown and not gated: {'; '.join(parts)}.",) if parts else ()


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _short_name(claim: ClaimOutcome) -> str:
    return claim.id.partition("/")[0].replace("-", " ")


def _metric_label(result: EvaluationResult, name: str) -> str:
    metric = result.metric(name)
    return metric.label if metric else name


def _claim_cell(claim: ClaimOutcome | None) -> Cell:
    if claim is None:
        return Cell(MISSING)
    decimals = decimals_for([claim.margin])
    margin = number(claim.margin, decimals, signed=True)
    if claim.standard_error is not None:
        margin += f" ± {number(claim.standard_error, decimals)}"
    return Cell(f"{'✓' if claim.holds else '✗'} {margin}", verdict=claim.verdict)
