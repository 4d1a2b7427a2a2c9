"""Who protects best at an equal budget: the attacks' ranks under each metric, and how far the metrics agree."""

from __future__ import annotations

from collections.abc import Sequence

from photoguard_eval.evaluation.results import EvaluationResult, MethodResult, MetricInfo
from photoguard_eval.evaluation.statistics import concordance, holm, paired_difference, paired_p_value, ranks
from photoguard_eval.evaluation.tolerances import FLOOR
from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.naming import (
    MISSING,
    TABLE_6,
    TABLE_10,
    budget_text,
    editor_methods,
    method_titles,
    number,
)

RANKED = (*TABLE_6, *TABLE_10, "clip_similarity")
"""Metrics whose ranks are averaged: the paper's, those of its Tables 6 and 10 and of Figure 7."""

CLEARLY = 2
"""How many standard errors an attack must lie behind another to be called clearly worse."""

LEVEL = 0.05
"""By each metric, the chance that any attack that is no better than noise is called better."""


def ranking_tables(result: EvaluationResult, editor: str) -> tuple[Table, ...]:
    """Return a table of ranks for each budget that several attacks share, in the order of the result.

    Args:
        result: The result of an evaluation.
        editor: Name of the editor.
    """
    budgets: dict[str, list[MethodResult]] = {}
    for method in editor_methods(result, editor):
        if method.attack is not None:
            budgets.setdefault(budget_text(method.attack.threat_model), []).append(method)
    return tuple(_ranking(result, budget, methods) for budget, methods in budgets.items() if len(methods) > 1)


def _ranking(result: EvaluationResult, budget: str, methods: Sequence[MethodResult]) -> Table:
    metrics = [metric for name in RANKED if (metric := result.metric(name)) and _tells_apart(metric, methods)]
    by_metric = [ranks([_similarity(method, metric) for method in methods]) for metric in metrics]
    # Without a metric that tells the attacks apart all of them are in the middle.
    means = [sum(own) / len(own) for own in zip(*by_metric, strict=True)] or [(len(methods) + 1) / 2] * len(methods)
    above_floor = _above_floor(result, metrics, methods)
    columns = [
        [Cell(title) for title in method_titles(methods)],
        [Cell(number(mean, 1), best=mean == min(means) < max(means)) for mean in means],
        *([above_floor] if above_floor else []),
        *(_rank_cells(result, metric, methods, own) for metric, own in zip(metrics, by_metric, strict=True)),
    ]
    rows = [Row(cells) for cells in zip(*columns, strict=True)]
    order = sorted(range(len(methods)), key=means.__getitem__)
    header = (
        Column("Method", numeric=False),
        Column("Mean rank"),
        *([Column("Beats noise")] if above_floor else []),
        *(Column(metric.label) for metric in metrics),
    )
    notes = [
        f"Ranks of the {len(methods)} rows with this budget; 1 leaves the edit least similar to that of the original, "
        "or to its prompt. ≈: behind the first by less than two standard errors of the difference over the images, so "
        "perhaps by chance; of a set metric that is not known. Metrics by which all rows are equal are left out.",
    ]
    if len(by_metric) > 1:
        notes.append(
            f"Agreement of the metrics on the ranks, Kendall's W: {number(concordance(by_metric), 2)} (1: all give the "
            "same ranks, 0: they have nothing in common)."
        )
    if above_floor:
        notes.append(
            "Beats noise: by how many of the metrics with a value for every case the edits are less similar than under "
            f"random noise of this budget, p ≤ {LEVEL:g} in the one-sided Wilcoxon signed-rank test over the "
            f"{_image_count(result)} images, with Holm's correction for the number of attacks."
        )
    return Table(f"Ranking at {budget}", header, tuple(rows[index] for index in order), tuple(notes))


def _tells_apart(metric: MetricInfo, methods: Sequence[MethodResult]) -> bool:
    return len({method.metrics[metric.name].mean for method in methods if metric.name in method.metrics}) > 1 and all(
        metric.name in method.metrics for method in methods
    )


def _similarity(method: MethodResult, metric: MetricInfo) -> float:
    """Return a mean so that a smaller one is a better protection."""
    mean = method.metrics[metric.name].mean
    return mean if metric.higher_is_more_similar else -mean


def _above_floor(
    result: EvaluationResult, metrics: Sequence[MetricInfo], methods: Sequence[MethodResult]
) -> list[Cell]:
    """Count for each row the metrics by which it beats random noise; nothing where that cannot be known."""
    floor = next((method for method in methods if method.attack and method.attack.name == FLOOR), None)
    others = [method for method in methods if method is not floor]
    tested = [metric for metric in metrics if metric.kind != "distribution"]
    # With so few images even the smallest p-value there is would be too large after the correction.
    if floor is None or not tested or not others or len(others) * 2.0 ** -_image_count(result) > LEVEL:
        return []
    images = [case.image_id for case in result.cases]
    findings = []
    for metric in tested:
        sign = 1.0 if metric.higher_is_more_similar else -1.0
        floor_scores, *scores = [[sign * case.scores[metric.name] for case in row.cases] for row in (floor, *others)]
        findings.append([p <= LEVEL for p in holm([paired_p_value(floor_scores, own, images) for own in scores])])
    texts = iter([f"{sum(own)} of {len(tested)}" for own in zip(*findings, strict=True)])
    return [Cell(MISSING if method is floor else next(texts)) for method in methods]


def _image_count(result: EvaluationResult) -> int:
    return len({case.image_id for case in result.cases})


def _rank_cells(
    result: EvaluationResult, metric: MetricInfo, methods: Sequence[MethodResult], own: Sequence[float]
) -> list[Cell]:
    first = methods[min(range(len(methods)), key=own.__getitem__)]
    cells = []
    for method, rank in zip(methods, own, strict=True):
        best = rank == min(own)
        text = f"{rank:g}"
        clear = best or _is_clearly_worse(result, metric, method, first)
        cells.append(Cell(text if clear else f"{text} ≈", best=best))
    return cells


def _is_clearly_worse(result: EvaluationResult, metric: MetricInfo, method: MethodResult, first: MethodResult) -> bool:
    """Tell whether a row lies behind the first by more than chance; of a set metric nothing says otherwise."""
    cases = [
        (own.scores[metric.name], best.scores[metric.name], info.image_id)
        for info, own, best in zip(result.cases, method.cases, first.cases, strict=True)
        if metric.name in own.scores and metric.name in best.scores
    ]
    if not cases:
        return True
    own_scores, best_scores, images = zip(*cases, strict=True)
    difference, error = paired_difference(own_scores, best_scores, images)
    if error is None:
        return False
    behind = difference if metric.higher_is_more_similar else -difference
    return behind >= CLEARLY * error
