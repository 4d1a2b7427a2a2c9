"""The gate: an evaluation against the paper's claims and against a recorded baseline."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from photoguard_eval import resources
from photoguard_eval.errors import BaselineError
from photoguard_eval.evaluation.claims import evaluate_claims
from photoguard_eval.evaluation.results import (
    EvaluationResult,
    GateReport,
    MethodResult,
    MetricInfo,
    Summary,
    ThresholdOutcome,
)
from photoguard_eval.evaluation.statistics import SET_METRIC_FLOOR, SET_METRIC_SHARE, set_metric_uncertainty
from photoguard_eval.files import write_atomically

BASELINE_SCHEMA = 1

FLOOR = "noise"
"""The attack whose rows are the floor: it must not move to either side."""

ORIGINAL = "original"
"""How a baseline names the rows of the unprotected images."""

CASE_METRIC_ERRORS = 0.5
"""Tolerance of a mean over cases, in its standard errors."""

CASE_METRIC_FLOOR = 0.002
"""Least tolerance of a mean over cases, in the metric's unit."""

LARGEST_IS_ONE = frozenset(
    {"precision", "recall", "ssim", "fsim", "sr_sim", "vsi", "dss", "haarpsi", "clip_similarity", "region_ssim"}
)
"""Metrics of similarity that cannot rise above 1."""

Side = Literal["above", "below", "either"]


class Threshold(BaseModel):
    """A recorded mean and how far it may move.

    Attributes:
        attack: Label of the attack; "original" for the unprotected images.
        editor: The editor.
        metric: The metric.
        value: The recorded mean.
        tolerance: How far the mean may move to the worse side.
        side: The worse side.
        reason: Why the tolerance is what it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attack: str
    editor: str
    metric: str
    value: float
    tolerance: float
    side: Side
    reason: str


class Baseline(BaseModel):
    """What an evaluation found when it was blessed.

    Attributes:
        schema_version: Of this form.
        model: Name of the model.
        weights_sha256: Hash of its weights.
        dataset: Name of the dataset.
        dataset_sha256: Hash of the dataset.
        preset: Name of the preset.
        n: Number of cases.
        editors: Settings of each editor.
        extractors: Feature extractor or text model of each metric that uses one.
        package_version: Version that recorded it.
        recorded: Date.
        claims: Which claims clearly held, by id, see `ClaimOutcome.clearly_holds`.
        thresholds: All thresholds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    model: str
    weights_sha256: str
    dataset: str
    dataset_sha256: str
    preset: str
    n: int
    editors: dict[str, dict[str, Any]]
    extractors: dict[str, str]
    package_version: str
    recorded: str
    claims: dict[str, bool]
    thresholds: tuple[Threshold, ...]


def baseline_path(result: EvaluationResult) -> Path:
    """Return where the baseline of a result's model, dataset and preset is kept."""
    name = "-".join([result.model.name.replace("/", "--"), result.dataset.name, result.preset])
    return resources.baselines_folder() / f"{name}.json"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        BaselineError: If it is missing, damaged or of another schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BaselineError(f"There is no baseline {path}. Record one with --bless.") from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"{path} cannot be read ({error}). Restore it, or record it anew with --bless.") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != BASELINE_SCHEMA:
        raise BaselineError(
            f"{path} has baseline schema {version!r}; this version reads {BASELINE_SCHEMA}. "
            "Record it anew with --bless."
        )
    try:
        return Baseline.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BaselineError(f"{path} is no baseline: {where}: {first['msg']}. Record it anew with --bless.") from error


def check(result: EvaluationResult, path: Path | None = None) -> GateReport:
    """Check a result against the baseline of its model, dataset and preset.

    Args:
        result: The result of an evaluation.
        path: The baseline; by default the recorded one. Where that does not exist, or the run changed settings of the
            preset, the thresholds are empty and no claim counts as having held; a path that is given must exist.

    Raises:
        BaselineError: If the baseline cannot be read, was recorded under other conditions, or lacks a metric.
    """
    own = baseline_path(result)
    if path is None and (result.changed_settings or not own.is_file()):
        return GateReport(baseline="", claims=evaluate_claims(result), thresholds=(), failures=result.failures)
    path = path or own
    baseline = read_baseline(path)
    _require_same_conditions(baseline, result, path)
    return GateReport(
        baseline=path.name,
        claims=evaluate_claims(result, baseline.claims),
        thresholds=tuple(_check_thresholds(baseline, result, path)),
        failures=result.failures,
    )


def bless(result: EvaluationResult, path: Path | None = None) -> list[str]:
    """Record a result as the baseline, and say what changed.

    Rows of an earlier baseline of the same conditions that this result lacks are kept.

    Args:
        result: The result of an evaluation.
        path: Where to write; by default the place of the model, dataset and preset.

    Returns:
        One line per value that differs from the earlier baseline; empty if none does.

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
    path = path or baseline_path(result)
    old = read_baseline(path) if path.is_file() else None
    new = _merge(old, make_baseline(result))
    write_atomically(path, (new.model_dump_json(indent=1) + "\n").encode())
    return _differences(old, new)


def make_baseline(result: EvaluationResult) -> Baseline:
    """Make the baseline of a result."""
    return Baseline(
        model=result.model.name,
        weights_sha256=result.model.weights_sha256,
        dataset=result.dataset.name,
        dataset_sha256=result.dataset.sha256,
        preset=result.preset,
        n=result.dataset.n,
        editors={name: dict(settings) for name, settings in result.editors.items()},
        extractors=_extractors(result),
        package_version=result.provenance.package_version,
        recorded=datetime.datetime.now(datetime.UTC).date().isoformat(),
        # A claim on the edge is recorded as not held, so that it cannot be lost to rounding.
        claims={claim.id: claim.clearly_holds for claim in evaluate_claims(result) if claim.of_the_preset},
        thresholds=tuple(_thresholds(result)),
    )


def _thresholds(result: EvaluationResult) -> Iterator[Threshold]:
    for method in (*result.originals, *result.methods):
        for metric in _gated(result):
            summary = method.metrics.get(metric.name)
            if summary is None:
                continue
            tolerance, reason = _tolerance(summary, method.n)
            yield Threshold(
                attack=_row_name(method),
                editor=method.editor,
                metric=metric.name,
                value=summary.mean,
                tolerance=tolerance,
                side=_worse_side(metric, method),
                reason=reason,
            )


def _row_name(method: MethodResult) -> str:
    return method.attack.label if method.attack else ORIGINAL


def _worse_side(metric: MetricInfo, method: MethodResult) -> Side:
    """Return to which side a mean gets worse: a weaker attack, a more visible perturbation, or a moved floor."""
    if method.attack is None or method.attack.name == FLOOR:
        return "either"
    less_similar_is_better = metric.subject == "edit"
    return "above" if metric.higher_is_more_similar == less_similar_is_better else "below"


def _tolerance(summary: Summary, n: int) -> tuple[float, str]:
    if summary.std is None:
        reason = (
            f"{SET_METRIC_SHARE:.0%} of the value, at least {SET_METRIC_FLOOR:g}: how far a set metric of so few "
            "images moves between processors"
        )
        return set_metric_uncertainty(summary.mean), reason
    reason = (
        f"{CASE_METRIC_ERRORS:g} standard errors of the mean over {n} cases, at least {CASE_METRIC_FLOOR:g}: gradient "
        "attacks amplify rounding differences between processors"
    )
    return max(CASE_METRIC_ERRORS * summary.std / math.sqrt(n), CASE_METRIC_FLOOR), reason


def _check_thresholds(baseline: Baseline, result: EvaluationResult, path: Path) -> Iterator[ThresholdOutcome]:
    recorded = {(entry.attack, entry.editor, entry.metric): entry for entry in baseline.thresholds}
    known_rows = {(entry.attack, entry.editor) for entry in baseline.thresholds}
    for method in (*result.originals, *result.methods):
        row = (_row_name(method), method.editor)
        if row not in known_rows:
            continue
        for metric in _gated(result):
            summary = method.metrics.get(metric.name)
            if summary is None:
                continue
            entry = recorded.get((*row, metric.name))
            if entry is None:
                raise BaselineError(
                    f"{path} has no value of the metric {metric.name!r} for {row[0]} under {row[1]}. "
                    "Record the baseline anew with --bless."
                )
            if _can_fail(entry):
                yield _compare(entry, summary.mean)
        gone = sorted(metric for *other, metric in recorded if tuple(other) == row and metric not in method.metrics)
        if gone:
            raise BaselineError(
                f"{path} has values of {', '.join(gone)} for {row[0]} under {row[1]}, which this run did not measure. "
                "Add what is missing, or record the baseline anew with --bless."
            )


def _can_fail(entry: Threshold) -> bool:
    """Tell whether a mean can get so much worse at all: under an attack that is at its weakest already it cannot."""
    return not (entry.side == "above" and entry.metric in LARGEST_IS_ONE and entry.value + entry.tolerance >= 1)


def _compare(entry: Threshold, measured: float) -> ThresholdOutcome:
    change = measured - entry.value
    worse = {"above": change, "below": -change, "either": abs(change)}[entry.side]
    return ThresholdOutcome(
        attack=entry.attack,
        editor=entry.editor,
        metric=entry.metric,
        baseline=entry.value,
        measured=measured,
        tolerance=entry.tolerance,
        side=entry.side,
        passed=worse <= entry.tolerance,
        reason=entry.reason,
    )


def _extractors(result: EvaluationResult) -> dict[str, str]:
    return {metric.name: metric.extractor for metric in _gated(result) if metric.extractor}


def _gated(result: EvaluationResult) -> list[MetricInfo]:
    """Return the metrics that every machine has: a baseline must not depend on what is cached where."""
    return [metric for metric in result.metrics if not metric.optional]


def _conditions(baseline: Baseline) -> dict[str, object]:
    return {
        "model": baseline.model,
        "weights": baseline.weights_sha256,
        "dataset": baseline.dataset,
        "dataset's content": baseline.dataset_sha256,
        "preset": baseline.preset,
        "number of cases": baseline.n,
        "setting of the edits": baseline.editors,
        "feature extractors": baseline.extractors,
    }


def _require_same_conditions(baseline: Baseline, result: EvaluationResult, path: Path) -> None:
    measured = _conditions(make_baseline(result))
    for name, recorded in _conditions(baseline).items():
        if recorded != measured[name]:
            raise BaselineError(
                f"{path} was recorded with another {name}: {recorded}, this run has {measured[name]}. Compare with a "
                "baseline of the same conditions, or record it anew with --bless."
            )


def _merge(old: Baseline | None, new: Baseline) -> Baseline:
    if old is None or _conditions(old) != _conditions(new):
        return new
    measured = {(entry.attack, entry.editor) for entry in new.thresholds}
    kept = tuple(entry for entry in old.thresholds if (entry.attack, entry.editor) not in measured)
    return new.model_copy(update={"claims": {**old.claims, **new.claims}, "thresholds": (*new.thresholds, *kept)})


def _differences(old: Baseline | None, new: Baseline) -> list[str]:
    before = {(entry.attack, entry.editor, entry.metric): entry.value for entry in old.thresholds} if old else {}
    after = {(entry.attack, entry.editor, entry.metric): entry.value for entry in new.thresholds}
    lines = []
    for key in sorted({*before, *after}):
        was, now = before.get(key), after.get(key)
        if was != now:
            lines.append(f"{' / '.join(key)}: {_shown(was)} → {_shown(now)}")
    claims_before = old.claims if old else {}
    for claim in sorted({*claims_before, *new.claims}):
        held, holds = claims_before.get(claim), new.claims.get(claim)
        if held != holds:
            lines.append(f"{claim}: {_held(held)} → {_held(holds)}")
    return lines


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _held(value: bool | None) -> str:
    return {True: "clearly holds", False: "does not clearly hold", None: "none"}[value]
