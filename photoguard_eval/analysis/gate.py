"""The gate: an evaluation against the paper's claims and against a recorded baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.analysis.baseline import (
    Baseline,
    Threshold,
    gated_metrics,
    make_baseline,
    read_baseline,
    write_baseline,
)
from photoguard_eval.analysis.baseline_places import file_name, find_baseline, is_of_the_package, own_folder, shown
from photoguard_eval.analysis.claims import evaluate_claims
from photoguard_eval.analysis.rows import row_name
from photoguard_eval.analysis.tolerances import can_fail
from photoguard_eval.errors import BaselineError
from photoguard_eval.results.conditions import conditions_of, differing_condition
from photoguard_eval.results.outcomes import GateReport, ThresholdOutcome
from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult


@dataclass(frozen=True)
class Blessing:
    """A recorded baseline.

    Attributes:
        path: Where it was written.
        changes: One line per value that differs from the earlier baseline, as far as four decimals show.
        left_out: Labels of the metrics of other packages, which a baseline of this package does not hold.
        replaced: Why an earlier file was replaced whole; "" if there was none or it could be read.
    """

    path: Path
    changes: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    replaced: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """What to tell the user."""
        count = f"{len(self.changes)} values changed" if self.changes else "no value changed"
        lines = [f"Blessed: {count} in {self.path}.", *(f"  {change}" for change in self.changes)]
        if self.replaced:
            lines.append(f"The earlier file was replaced: {self.replaced}")
        if self.left_out:
            lines.append(
                f"Left out: {', '.join(self.left_out)}. A baseline of the package holds its own metrics; name another "
                "file with --baseline for those of other packages."
            )
        return tuple(lines)


def check(result: EvaluationResult, path: Path | None = None) -> GateReport:
    """Check a result against the baseline of its model, dataset and preset.

    Args:
        result: The result of an evaluation.
        path: The baseline; by default the user's own, else the one that the package carries. Where neither exists, or
            the run changed settings of the preset, the thresholds are empty and no claim counts as having held; a path
            that is given must exist.

    Raises:
        BaselineError: If the baseline cannot be read, was recorded under other conditions, or lacks a metric.
    """
    if path is None and not result.changed_settings:
        path = find_baseline(result)
    if path is None:
        return _without_baseline(result)
    baseline = read_baseline(path)
    difference = differing_condition(baseline.conditions, conditions_of(result, gated_metrics(result)))
    if difference:
        raise BaselineError(
            f"{shown(path)} was recorded with another {difference}. Compare with a baseline of the same conditions, or "
            "record it anew with --bless."
        )
    attacks = {entry.attack for entry in baseline.thresholds}
    metrics = {entry.metric for entry in baseline.thresholds}
    return GateReport(
        baseline=shown(path),
        claims=evaluate_claims(result, baseline.claims),
        thresholds=tuple(_check_thresholds(baseline, result, path)),
        failures=result.failures,
        ungated_metrics=tuple(info.label for info in gated_metrics(result) if info.plugin and info.name not in metrics),
        ungated_attacks=tuple(
            name for name in dict.fromkeys(row_name(row.id) for row in result.attack_rows) if name not in attacks
        ),
    )


def check_if_comparable(result: EvaluationResult) -> GateReport:
    """Check a result against its baseline, or say in the report why the two cannot be compared.

    For a run, whose purpose is the result: what it took hours to measure is shown, whatever the baseline is of.
    """
    try:
        return check(result)
    except BaselineError as error:
        return _without_baseline(result, str(error))


def _without_baseline(result: EvaluationResult, reason: str = "") -> GateReport:
    return GateReport(
        baseline="", claims=evaluate_claims(result), thresholds=(), failures=result.failures, not_compared=reason
    )


def bless(result: EvaluationResult, path: Path | None = None) -> Blessing:
    """Record a result as the baseline, and say what changed.

    Rows of an earlier baseline of the same conditions that this result lacks are kept. Metrics of other packages are
    recorded in a user's own baseline, with their source, but not in one of this package: who has not installed them
    could not use it.

    Args:
        result: The result of an evaluation.
        path: Where to write; by default the place of the model, dataset and preset in the user's project, or in the
            checkout of this package for who works there.

    Raises:
        BaselineError: If an attack was stopped during the evaluation, or the run changed settings of the preset and no
            path is given: such a result is not the preset's baseline.
    """
    if result.failures:
        names = ", ".join(failure.attack for failure in result.failures)
        raise BaselineError(f"{names} did not finish, so this result cannot be blessed. Mend or leave out the attack.")
    if path is None and result.changed_settings:
        raise BaselineError(
            f"This run changed {', '.join(result.changed_settings)}, so it is no baseline of the preset "
            f"{result.preset!r}. Give another file with --baseline, or leave the changes out."
        )
    path = path or own_folder() / file_name(result)
    with_plugins = not is_of_the_package(path)
    old, replaced = None, ""
    if path.is_file():
        try:
            old = read_baseline(path)
        except BaselineError as error:
            replaced = str(error)
    new = _merge(old, make_baseline(result, with_plugins=with_plugins))
    write_baseline(path, new)
    plugins = tuple(metric.label for metric in gated_metrics(result) if metric.plugin)
    return Blessing(path, tuple(_differences(old, new)), () if with_plugins else plugins, replaced)


def _check_thresholds(baseline: Baseline, result: EvaluationResult, path: Path) -> Iterator[ThresholdOutcome]:
    recorded = {(entry.attack, entry.editor, entry.metric): entry for entry in baseline.thresholds}
    known_rows = {(entry.attack, entry.editor) for entry in baseline.thresholds}
    for measured in result.rows:
        row = (row_name(measured.id), measured.editor)
        if row not in known_rows:
            continue
        for metric in gated_metrics(result):
            if metric.name not in measured.metrics:
                continue
            entry = recorded.get((*row, metric.name))
            if entry is not None:
                if can_fail(metric, entry.side, entry.value, entry.tolerance):
                    yield _compare(entry, measured)
            elif not metric.plugin:
                raise BaselineError(
                    f"{shown(path)} has no value of the metric {metric.name!r} for {row[0]} under {row[1]}. "
                    "Record the baseline anew with --bless."
                )
        gone = sorted(metric for *other, metric in recorded if tuple(other) == row and metric not in measured.metrics)
        if gone:
            sources = baseline.conditions.plugins
            names = [f"{name} (of {sources[name]})" if name in sources else name for name in gone]
            raise BaselineError(
                f"{shown(path)} has values of {', '.join(names)} for {row[0]} under {row[1]}, which this run did not "
                "measure. Add what is missing, or record the baseline anew with --bless."
            )


def _compare(entry: Threshold, row: ResultRow) -> ThresholdOutcome:
    """Compare by case where the baseline has the cases' scores, the means otherwise."""
    measured = row.metrics[entry.metric].mean
    changes = [
        case.scores[entry.metric] - score for case, score in zip(row.cases, entry.scores, strict=bool(entry.scores))
    ]
    change = math.fsum(changes) / len(changes) if changes else measured - entry.value
    worst = max(range(len(changes)), key=lambda index: _worsening(entry, changes[index]), default=None)
    return ThresholdOutcome(
        attack=entry.attack,
        editor=entry.editor,
        metric=entry.metric,
        baseline=entry.value,
        measured=measured,
        tolerance=entry.tolerance,
        side=entry.side,
        passed=_worsening(entry, change) <= entry.tolerance,
        reason=entry.reason,
        cases=len(changes),
        cases_beyond=sum(_worsening(entry, own) > entry.tolerance for own in changes),
        worst_case=row.cases[worst].case_id if worst is not None else "",
        worst_change=changes[worst] if worst is not None else 0.0,
    )


def _worsening(entry: Threshold, change: float) -> float:
    return {"above": change, "below": -change, "either": abs(change)}[entry.side]


def _merge(old: Baseline | None, new: Baseline) -> Baseline:
    # What an earlier version recorded has no seeds, so nobody knows whether they are the same.
    if old is None or old.conditions.cases is None or differing_condition(old.conditions, new.conditions):
        return new
    measured = {(entry.attack, entry.editor) for entry in new.thresholds}
    kept = tuple(entry for entry in old.thresholds if (entry.attack, entry.editor) not in measured)
    metrics = {entry.metric for entry in kept}
    conditions = new.conditions.model_copy(
        update={
            "extractors": _of(metrics, old.conditions.extractors) | new.conditions.extractors,
            "plugins": _of(metrics, old.conditions.plugins) | new.conditions.plugins,
        }
    )
    return new.model_copy(
        update={
            "conditions": conditions,
            "claims": {**old.claims, **new.claims},
            "thresholds": (*new.thresholds, *kept),
        }
    )


def _of(metrics: set[str], facts: dict[str, str]) -> dict[str, str]:
    return {name: fact for name, fact in facts.items() if name in metrics}


def _differences(old: Baseline | None, new: Baseline) -> Iterator[str]:
    before = {(entry.attack, entry.editor, entry.metric): entry.value for entry in old.thresholds} if old else {}
    after = {(entry.attack, entry.editor, entry.metric): entry.value for entry in new.thresholds}
    for key in sorted({*before, *after}):
        was, now = _number(before.get(key)), _number(after.get(key))
        if was != now:
            yield f"{' / '.join(key)}: {was} → {now}"
    claims_before = old.claims if old else {}
    for claim in sorted({*claims_before, *new.claims}):
        held, holds = claims_before.get(claim), new.claims.get(claim)
        if held != holds:
            yield f"{claim}: {_held(held)} → {_held(holds)}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _held(value: bool | None) -> str:
    return {True: "clearly holds", False: "does not clearly hold", None: "none"}[value]
