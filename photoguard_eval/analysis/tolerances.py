"""How far a recorded value may move, and to which side.

Results of the same seeds are compared case by case, so that only rounding moves them as long as the code is the same:
other sizes of batches, other numbers of threads, other processors. The mean change over the cases is what is judged.
"""

from __future__ import annotations

from typing import Literal

from photoguard_eval.analysis.rows import is_floor
from photoguard_eval.analysis.statistics import SET_METRIC_FLOOR, SET_METRIC_SHARE, set_metric_uncertainty
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import ResultRow

CASE_TOLERANCE = 0.005
"""How far the mean over the cases may move to the worse side, of the metric's scale (`Metric.scale`).

Batches of 5 images instead of 12, and two threads instead of one, each moved no mean of the preset `ci` by more than
0.0015 of the scale.
"""

FLOOR_TOLERANCE = 0.01
"""How far the mean of a row without an attack's gradient may move to either side, of the metric's scale."""

Side = Literal["above", "below", "either"]

Rule = Literal["cases", "floor", "set", "means"]

REASONS: dict[Rule, str] = {
    "cases": f"{CASE_TOLERANCE:g} of the metric's scale, for the mean change of the same cases under the same seeds",
    "floor": f"{FLOOR_TOLERANCE:g} of the metric's scale, to either side: no attack can move these edits, only the "
    "editing, the metric or a library can",
    "set": f"{SET_METRIC_SHARE:.0%} of the value, at least {SET_METRIC_FLOOR:g}: how far a set metric of so few images "
    "moves between processors",
    "means": "as an earlier version recorded it, without the scores of the cases; for a comparison by case record the "
    "baseline anew with --bless",
}
"""Why a tolerance is what it is, for reports."""


def tolerance_of(metric: MetricInfo, scale: float, row: ResultRow, value: float) -> tuple[Rule, float, Side]:
    """Return the rule for a metric of a row, how far the value may move by it, and to which side it gets worse.

    Args:
        metric: The metric.
        scale: Its scale, see `photoguard_eval.metrics.Metric`.
        row: The row.
        value: The mean over its cases; of a set metric, its value.
    """
    without_gradient = row.attack is None or is_floor(row)
    side: Side = "either" if without_gradient else _worse_side(metric)
    if metric.kind == "distribution":
        return "set", set_metric_uncertainty(value), side
    return ("floor", FLOOR_TOLERANCE * scale, side) if without_gradient else ("cases", CASE_TOLERANCE * scale, side)


def _worse_side(metric: MetricInfo) -> Side:
    """Return to which side a value of an attack gets worse: a weaker attack, or a more visible perturbation."""
    less_similar_is_better = metric.subject == "edit"
    return "above" if metric.higher_is_more_similar == less_similar_is_better else "below"


def can_fail(metric: MetricInfo, side: Side, value: float, tolerance: float) -> bool:
    """Tell whether a value can get so much worse at all: that of an attack which is at its weakest already cannot."""
    beyond_above = metric.upper_bound is not None and value + tolerance >= metric.upper_bound
    beyond_below = metric.lower_bound is not None and value - tolerance <= metric.lower_bound
    return not (side == "above" and beyond_above) and not (side == "below" and beyond_below)
