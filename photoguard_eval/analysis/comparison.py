"""Two results side by side: by how much the scores of the rows that both have differ, case by case."""

from __future__ import annotations

from photoguard_eval.analysis.rows import paired_change
from photoguard_eval.analysis.values import Value
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.results.conditions import conditions_of, differing_condition
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import ResultRow, RowId
from photoguard_eval.results.schema import EvaluationResult


class Difference(Value):
    """How a row's mean by one metric differs between two results.

    Attributes:
        id: The row.
        metric: Name of the metric.
        first: Its mean in the first result.
        second: Its mean in the second.
        change: The second less the first: over the cases, or of a set metric as a whole.
        error: Standard error of the change over the images; None where there is a single image, or of a set metric.
    """

    id: RowId
    metric: str
    first: float
    second: float
    change: float
    error: float | None


def compare(first: EvaluationResult, second: EvaluationResult) -> tuple[Difference, ...]:
    """Compare the rows that two results share, the references included.

    Args:
        first: A result.
        second: Another, measured under the same conditions; its attacks may be others.

    Returns:
        A difference for each shared row and metric, in the order of the second result.

    Raises:
        ConfigurationError: If the two were measured under different conditions, or share no row.
    """
    metrics = [metric for metric in second.metrics if first.metric(metric.name) is not None]
    editors = [editor for editor in second.editors if editor in first.editors]
    reason = differing_condition(conditions_of(first, metrics, editors), conditions_of(second, metrics, editors))
    if reason:
        raise ConfigurationError(
            f"The two results differ by more than their attacks. {reason[:1].upper()}{reason[1:]}."
        )
    known = {row.id: row for row in first.rows}
    shared = [(known[row.id], row) for row in second.rows if row.id in known]
    if not shared:
        raise ConfigurationError("The two results have no row in common: no attack, budget and editor is in both.")
    return tuple(
        _difference(second, metric, was, now)
        for was, now in shared
        for metric in metrics
        if metric.name in was.metrics and metric.name in now.metrics
    )


def _difference(result: EvaluationResult, metric: MetricInfo, was: ResultRow, now: ResultRow) -> Difference:
    first, second = was.metrics[metric.name].mean, now.metrics[metric.name].mean
    change, error = paired_change(result, metric.name, now, was) or (second - first, None)
    return Difference(id=now.id, metric=metric.name, first=first, second=second, change=change, error=error)
