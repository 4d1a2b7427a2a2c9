"""Columns of a metric, and what has to be known to read them; tables of several views share them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from photoguard_eval.reports.cells import Cell, Row
from photoguard_eval.reports.naming import MISSING, decimals_for, mean_and_std
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import Budget, ResultRow

NOTE_ARROWS = (
    "Arrows point to increasing image similarity. A good immunization makes the edit dissimilar, so the best value is "
    "the lowest of a ↑ column and the highest of a ↓ column; of the measured rows with the same budget the best is "
    "bold."
)


def metric_cells(metric: MetricInfo, rows: Sequence[ResultRow], comparable: Sequence[bool] | None = None) -> list[Cell]:
    """Print a column; values that are not comparable with the others are marked and never best.

    The best of the rows with the same budget is bold, unless unprotected images have a better value still, or there are
    too few cases for the metric to say which is.
    """
    comparable = comparable or [True] * len(rows)
    summaries = [row.metrics.get(metric.name) for row in rows]
    standing: dict[Budget | None, list[float]] = {}
    for row, summary, same in zip(rows, summaries, comparable, strict=True):
        if summary is not None and same and not row.rerolled:
            standing.setdefault(row.id.budget, []).append(summary.mean)
    unprotected = standing.pop(None, [])
    best = {budget: _best(metric, means + unprotected) for budget, means in standing.items() if len(means) > 1}
    decimals = decimals_for([summary.mean for summary in summaries if summary is not None])
    cells = []
    for row, summary, same in zip(rows, summaries, comparable, strict=True):
        if summary is None:
            cells.append(Cell(MISSING))
        else:
            text = mean_and_std(summary, decimals)
            is_best = same and row.n >= metric.settled_from and summary.mean == best.get(row.id.budget)
            cells.append(Cell(text if same else f"{text} *", best=is_best))
    return cells


def _best(metric: MetricInfo, means: Sequence[float]) -> float | None:
    """Return the best mean: of the edit the least similar, of the immunized image the most similar.

    None where there is nothing to compare: fewer than two values, or all of them equal.
    """
    if len(set(means)) < 2:
        return None
    highest_is_best = metric.higher_is_more_similar == (metric.subject == "immunized")
    return max(means) if highest_is_best else min(means)


def table_rows(columns: Sequence[Sequence[Cell]]) -> tuple[Row, ...]:
    """Return the rows of columns of cells."""
    return tuple(Row(cells) for cells in zip(*columns, strict=True))


def extractor_notes(metrics: Iterable[MetricInfo]) -> list[str]:
    """Say which feature extractor or text model metrics were measured with."""
    by_extractor: dict[str, list[str]] = {}
    for metric in metrics:
        if metric.extractor:
            by_extractor.setdefault(metric.extractor, []).append(metric.label)
    return [f"{', '.join(labels)}: measured with {extractor}." for extractor, labels in by_extractor.items()]


def unsettled_notes(metrics: Sequence[MetricInfo], n: int) -> list[str]:
    """Say by which metrics so many cases are too few to call a row better than another."""
    unsettled = [metric for metric in metrics if metric.settled_from > n]
    if not unsettled:
        return []
    labels = ", ".join(metric.label for metric in unsettled)
    enough = max(metric.settled_from for metric in unsettled)
    return [
        f"{labels}: {n} cases are too few to say which row is better, so none is bold or ranked; {enough} are enough."
    ]
