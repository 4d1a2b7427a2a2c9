"""Who protects best at an equal budget: the attacks' ranks under each metric, and how far the metrics agree."""

from __future__ import annotations

from collections.abc import Sequence

from photoguard_eval.analysis.floor import CLEARLY, AgainstNoise, against_noise
from photoguard_eval.analysis.rows import attack_rows, by_budget, paired_change
from photoguard_eval.analysis.statistics import concordance, ranks
from photoguard_eval.analysis.values import Value
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import Budget, Purification, ResultRow, RowId
from photoguard_eval.results.schema import EvaluationResult


class Rank(Value):
    """A row's rank by one metric.

    Attributes:
        rank: From 1, the least similar edits; equal rows share the mean of their ranks.
        clear: Whether the row is the first, or behind it by more than may be chance. By a set metric nobody knows.
    """

    rank: float
    clear: bool


class RankedRow(Value):
    """A row among those of its budget.

    Attributes:
        id: The row.
        mean_rank: Mean of its ranks; the middle where no metric tells the rows apart.
        ranks: By the metric's name.
        against_noise: The row beside random noise; None for the noise, and where there is none.
    """

    id: RowId
    mean_rank: float
    ranks: dict[str, Rank]
    against_noise: AgainstNoise | None = None


class Ranking(Value):
    """The rows of an editor's attacks at one budget.

    Attributes:
        editor: The editor.
        budget: The budget.
        purification: What was done to the images before they were edited; None for nothing.
        metrics: Names of the metrics that the rows are ranked by: each tells them apart, and the cases suffice for it.
        rows: From the best mean rank to the worst; at least one.
        concordance: Kendall's W of the metrics' ranks: 1 where all agree; None with fewer than two metrics.
        reroll: The re-roll beside random noise of this budget; None without either. It has no rank.
    """

    editor: str
    budget: Budget
    purification: Purification | None = None
    metrics: tuple[str, ...]
    rows: tuple[RankedRow, ...]
    concordance: float | None = None
    reroll: AgainstNoise | None = None


def rank(result: EvaluationResult, editor: str) -> tuple[Ranking, ...]:
    """Rank an editor's attacks among those of the same budget and purification.

    Args:
        result: The result of an evaluation.
        editor: Name of the editor.

    Returns:
        One ranking for each, in the order of the result; a budget with a single row has one, too.
    """
    return tuple(
        _ranking(part, editor, budget, rows)
        for part in result.parts
        for budget, rows in by_budget(attack_rows(part, editor)).items()
    )


def _ranking(result: EvaluationResult, editor: str, budget: Budget, rows: Sequence[ResultRow]) -> Ranking:
    metrics = [metric for metric in result.metrics if metric.ranked and _tells_apart(result, metric, rows)]
    by_metric = [ranks([_similarity(row, metric) for row in rows]) for metric in metrics]
    # Without a metric that tells the rows apart all of them are in the middle.
    means = [sum(own) / len(own) for own in zip(*by_metric, strict=True)] or [(len(rows) + 1) / 2] * len(rows)
    found = [_with_doubt(result, metric, rows, own) for metric, own in zip(metrics, by_metric, strict=True)]
    reroll = result.reroll(editor)
    standing = against_noise(result, metrics, rows, reroll)
    ranked = [
        RankedRow(
            id=row.id,
            mean_rank=mean,
            ranks={metric.name: own[index] for metric, own in zip(metrics, found, strict=True)},
            against_noise=standing.get(row.id),
        )
        for index, (row, mean) in enumerate(zip(rows, means, strict=True))
    ]
    return Ranking(
        editor=editor,
        budget=budget,
        purification=result.purification,
        metrics=tuple(metric.name for metric in metrics),
        rows=tuple(sorted(ranked, key=lambda row: row.mean_rank)),
        concordance=concordance(by_metric) if len(by_metric) > 1 else None,
        reroll=None if reroll is None else standing.get(reroll.id),
    )


def _tells_apart(result: EvaluationResult, metric: MetricInfo, rows: Sequence[ResultRow]) -> bool:
    if metric.settled_from > len(result.cases) or any(metric.name not in row.metrics for row in rows):
        return False
    return len({row.metrics[metric.name].mean for row in rows}) > 1


def _similarity(row: ResultRow, metric: MetricInfo) -> float:
    """Return a mean so that a smaller one is a better protection."""
    mean = row.metrics[metric.name].mean
    return mean if metric.higher_is_more_similar else -mean


def _with_doubt(
    result: EvaluationResult, metric: MetricInfo, rows: Sequence[ResultRow], own: Sequence[float]
) -> list[Rank]:
    first = rows[min(range(len(rows)), key=own.__getitem__)]
    return [
        Rank(rank=place, clear=place == min(own) or _is_clearly_worse(result, metric, row, first))
        for row, place in zip(rows, own, strict=True)
    ]


def _is_clearly_worse(result: EvaluationResult, metric: MetricInfo, row: ResultRow, first: ResultRow) -> bool:
    """Tell whether a row lies behind the first by more than chance; of a set metric nothing says otherwise."""
    measured = paired_change(result, metric.name, row, first)
    if measured is None:
        return True
    difference, error = measured
    if error is None:
        return False
    behind = difference if metric.higher_is_more_similar else -difference
    return behind >= CLEARLY * error
