"""Baselines: what an evaluation found when it was blessed, as files of a versioned schema.

A baseline holds the scores of every case, so that a later result of the same seeds is compared with it case by case.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from photoguard_eval.analysis.claims import evaluate_claims
from photoguard_eval.analysis.rows import row_name
from photoguard_eval.analysis.tolerances import REASONS, Rule, Side, tolerance_of
from photoguard_eval.analysis.values import Value
from photoguard_eval.errors import BaselineError
from photoguard_eval.files import write_atomically
from photoguard_eval.results.conditions import Conditions, conditions_of
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.schema import EvaluationResult

BASELINE_SCHEMA = 2

DECIMALS = 6
"""That scores are recorded with: far finer than any tolerance."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Threshold(Value):
    """A recorded mean and how far it may move.

    Attributes:
        attack: The row, see `photoguard_eval.analysis.rows.row_name`.
        editor: The editor.
        metric: The metric.
        value: The recorded mean; of a set metric, its value.
        tolerance: How far it may move to the worse side.
        side: The worse side.
        rule: Where the tolerance comes from, see `photoguard_eval.analysis.tolerances`.
        scores: The value of each case, in the baseline's order; empty for a set metric, and in a baseline that an
            earlier version recorded.
    """

    attack: str
    editor: str
    metric: str
    value: Finite
    tolerance: Annotated[float, Field(allow_inf_nan=False, ge=0)]
    side: Side
    rule: Rule
    scores: tuple[Finite, ...] = ()

    @property
    def reason(self) -> str:
        """Why the tolerance is what it is."""
        return REASONS[self.rule]

    @model_validator(mode="after")
    def _require_own_mean(self) -> Threshold:
        if self.scores and abs(math.fsum(self.scores) / len(self.scores) - self.value) > 2 * 10**-DECIMALS:
            raise ValueError(f"{self.value} is not the mean of the scores of {self.metric}")
        return self


class Baseline(Value):
    """What an evaluation found when it was blessed.

    Attributes:
        schema_version: Of this form.
        conditions: Under which it was measured; the scores are in the order of its cases.
        package_version: Version that recorded it.
        recorded: Date.
        claims: Which claims clearly held, by id, see `ClaimOutcome.clearly_holds`.
        thresholds: All thresholds.
    """

    schema_version: Literal[2] = 2
    conditions: Conditions
    package_version: str
    recorded: str
    claims: dict[str, bool]
    thresholds: tuple[Threshold, ...]

    @model_validator(mode="after")
    def _require_one_value_per_case(self) -> Baseline:
        lists: list[Sized] = [entry.scores for entry in self.thresholds if entry.scores]
        lists += [*(self.conditions.edit_seeds or {}).values(), self.conditions.cases or range(self.conditions.n)]
        if any(len(values) != self.conditions.n for values in lists):
            raise ValueError(f"a list has not one value for each of the {self.conditions.n} cases")
        if len({(entry.attack, entry.editor, entry.metric) for entry in self.thresholds}) < len(self.thresholds):
            raise ValueError("two thresholds of one row and metric")
        return self


def gated_metrics(result: EvaluationResult, *, with_plugins: bool = True) -> list[MetricInfo]:
    """Return the metrics that every machine has: a baseline must not depend on what is cached where.

    Args:
        result: The result of an evaluation.
        with_plugins: Whether metrics of other packages are among them.
    """
    return [metric for metric in result.metrics if not metric.optional and (with_plugins or not metric.plugin)]


def make_baseline(result: EvaluationResult, *, with_plugins: bool = True) -> Baseline:
    """Make the baseline of a result.

    Args:
        result: The result of an evaluation.
        with_plugins: Whether metrics of other packages are recorded, each with its source.

    Raises:
        BaselineError: If an earlier version wrote the result, which does not say how far its metrics may move.
    """
    metrics = gated_metrics(result, with_plugins=with_plugins)
    return Baseline(
        conditions=conditions_of(result, metrics),
        package_version=result.provenance.package_version,
        recorded=datetime.datetime.now(datetime.UTC).date().isoformat(),
        # A claim on the edge is recorded as not held, so that it cannot be lost to rounding.
        claims={
            claim.id: claim.clearly_holds
            for claim in evaluate_claims(result)
            if claim.of_the_preset and claim.metric in {metric.name for metric in metrics}
        },
        thresholds=tuple(_thresholds(result, metrics)),
    )


def _thresholds(result: EvaluationResult, metrics: Iterable[MetricInfo]) -> Iterator[Threshold]:
    for row in result.rows:
        for metric in metrics:
            summary = row.metrics.get(metric.name)
            if summary is None:
                continue
            if metric.scale is None:
                raise BaselineError(
                    f"This result was written by an earlier version, which did not say how far {metric.label} may "
                    "move. Run the evaluation again: its images are kept, only the scores are computed anew."
                )
            rule, tolerance, side = tolerance_of(metric, metric.scale, row, summary.mean)
            scores = () if metric.kind == "distribution" else tuple(case.scores[metric.name] for case in row.cases)
            yield Threshold(
                attack=row_name(row.id),
                editor=row.editor,
                metric=metric.name,
                value=round(summary.mean, DECIMALS),
                tolerance=round(tolerance, DECIMALS),
                side=side,
                rule=rule,
                scores=tuple(round(score, DECIMALS) for score in scores),
            )


def read_baseline(path: Path) -> Baseline:
    """Read a baseline of this schema version or an earlier one.

    One of schema 1 holds neither scores of cases nor seeds: its means are compared, with the tolerances that it holds.

    Raises:
        BaselineError: If it is missing, damaged or of a later schema.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BaselineError(f"There is no baseline {path}. Record one with --bless.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BaselineError(f"{path} cannot be read ({error}). Restore it, or record it anew with --bless.") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version not in (1, BASELINE_SCHEMA):
        raise BaselineError(
            f"{path} has baseline schema {version!r}; this version reads {BASELINE_SCHEMA}. "
            "Record it anew with --bless."
        )
    try:
        return Baseline.model_validate(_from_schema_1(data) if version == 1 else data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{where}: {first['msg']}" if where else first["msg"]
        raise BaselineError(f"{path} is no baseline: {message}. Record it anew with --bless.") from error


def _from_schema_1(data: dict[str, Any]) -> dict[str, Any]:
    """Bring a baseline of schema 1 into this form; what is no such baseline is left for the validation to name."""
    known = {name: data[name] for name in Conditions.model_fields if name in data}
    thresholds = data.get("thresholds")
    if isinstance(thresholds, list) and all(isinstance(entry, dict) for entry in thresholds):
        kept = [{name: value for name, value in entry.items() if name != "reason"} for entry in thresholds]
        thresholds = [{**entry, "rule": "means"} for entry in kept]
    return {
        **{name: value for name, value in data.items() if name not in known},
        "schema_version": BASELINE_SCHEMA,
        "conditions": {**known, "cases": None, "attack_seed": None, "edit_seeds": None},
        "thresholds": thresholds,
    }


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline as JSON, atomically: a line for each threshold, so that a change can be looked at.

    Raises:
        StoreError: If the file cannot be written.
    """
    fields = baseline.model_dump()
    fields["thresholds"] = [
        {key: value for key, value in entry.items() if key != "scores" or value} for entry in fields["thresholds"]
    ]
    lines = [f" {json.dumps(name)}: {_by_line(value)}" for name, value in fields.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    # Lone surrogates, as in the name of a folder that is no UTF-8, become escapes that JSON reads back.
    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def _by_line(value: Any) -> str:
    if isinstance(value, dict) and value:
        inner = [f"{json.dumps(key, ensure_ascii=False)}: {_compact(entry)}" for key, entry in value.items()]
        return "{\n  " + ",\n  ".join(inner) + "\n }"
    if isinstance(value, list) and value:
        return "[\n  " + ",\n  ".join(map(_compact, value)) + "\n ]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
