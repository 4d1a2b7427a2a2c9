"""Who protects best at an equal budget: the attacks' ranks under each metric, and how far the metrics agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from photoguard_eval.analysis.statistics import concordance, paired_difference, ranks
from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.floor import CLEARLY, LEVEL, AgainstNoise, against_noise, floor_of
from photoguard_eval.reports.naming import (
    MISSING,
    PROTECTION,
    TABLE_6,
    TABLE_10,
    budget_text,
    editor_methods,
    method_titles,
    number,
    reroll_notes,
)
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import MethodResult
from photoguard_eval.results.schema import EvaluationResult

RANKED = (*TABLE_6, *TABLE_10, "clip_similarity")
"""Metrics whose ranks are averaged: the paper's, those of its Tables 6 and 10 and of Figure 7."""


def ranking_tables(result: EvaluationResult, editor: str) -> tuple[Table, ...]:
    """Return a table of ranks for each budget that several attacks share, in the order of the result.

    Args:
        result: The result of an evaluation.
        editor: Name of the editor.
    """
    reroll = result.reroll(editor)
    groups = rows_by_budget(result, editor)
    return tuple(_ranking(result, budget, rows, reroll) for budget, rows in groups.items() if len(rows) > 1)


def rows_by_budget(result: EvaluationResult, editor: str) -> dict[str, list[MethodResult]]:
    """Return an editor's rows of attacks by their budget in words, in the order of the result."""
    budgets: dict[str, list[MethodResult]] = {}
    for method in editor_methods(result, editor):
        if method.attack is not None:
            budgets.setdefault(budget_text(method.attack.threat_model), []).append(method)
    return budgets


def ranked_metrics(result: EvaluationResult, methods: Sequence[MethodResult]) -> list[MetricInfo]:
    """Return the metrics that rows are ranked by: those of the paper by which they differ, if the cases suffice."""
    return [
        metric
        for name in RANKED
        if (metric := result.metric(name))
        and metric.settled_from <= len(result.cases)
        and _tells_apart(metric, methods)
    ]


def _ranking(
    result: EvaluationResult, budget: str, methods: Sequence[MethodResult], reroll: MethodResult | None
) -> Table:
    metrics = ranked_metrics(result, methods)
    by_metric = [ranks([_similarity(method, metric) for method in methods]) for metric in metrics]
    # Without a metric that tells the attacks apart all of them are in the middle.
    means = [sum(own) / len(own) for own in zip(*by_metric, strict=True)] or [(len(methods) + 1) / 2] * len(methods)
    standing = against_noise(result, metrics, methods, reroll)
    # Only what is compared with something has a place in the table: without noise there is no size of a re-roll.
    shown = [*methods, reroll] if reroll is not None and standing else methods
    above_floor = _floor_columns(shown, standing)
    rank_columns = [
        (Column("Mean rank"), [Cell(number(mean, 1), best=mean == min(means) < max(means)) for mean in means]),
        *above_floor,
        *(
            (Column(metric.label), _rank_cells(result, metric, methods, own))
            for metric, own in zip(metrics, by_metric, strict=True)
        ),
    ]
    columns = [(Column("Method", numeric=False), [Cell(title) for title in method_titles(shown)]), *rank_columns]
    blank = Cell(MISSING)
    # A re-roll has no rank.
    filled = [[*cells, *[blank] * (len(shown) - len(cells))] for _, cells in columns]
    rows = [Row(cells) for cells in zip(*filled, strict=True)]
    order = [*sorted(range(len(methods)), key=means.__getitem__), *range(len(methods), len(shown))]
    notes = [
        f"Ranks of the {len(methods)} rows with this budget; 1 leaves the edit least similar to that of the original, "
        "or to its prompt. ≈: behind the first by less than two standard errors of the difference over the images, so "
        "perhaps by chance; of a set metric that is not known. Metrics by which all rows are equal are left out, and "
        "those of sets where the cases are too few to say who is better.",
    ]
    if len(by_metric) > 1:
        notes.append(
            f"Agreement of the metrics on the ranks, Kendall's W: {number(concordance(by_metric), 2)} (1: all give the "
            "same ranks, 0: they have nothing in common)."
        )
    notes += _floor_notes(result, standing)
    notes += reroll_notes(shown)
    header = tuple(heading for heading, _ in columns)
    return Table(f"Ranking at {budget}", header, tuple(rows[index] for index in order), tuple(notes))


def _floor_columns(
    methods: Sequence[MethodResult], standing: Mapping[str, AgainstNoise]
) -> list[tuple[Column, list[Cell]]]:
    """Return the columns that compare rows with random noise, as far as there is anything to say."""
    own = [standing.get(method.label) if method is not floor_of(methods) else None for method in methods]
    columns = [
        ("Beats noise", [f"{row.beaten} of {row.tested}" if row and row.beaten is not None else "" for row in own]),
        (f"{PROTECTION.upper()} against noise", [_difference_text(row) if row else "" for row in own]),
        (
            "Of a re-roll",
            [
                f"{number(100 * row.share_of_reroll, 0)} %" if row and row.share_of_reroll is not None else ""
                for row in own
            ],
        ),
    ]
    return [(Column(label), [Cell(text or MISSING) for text in texts]) for label, texts in columns if any(texts)]


def _difference_text(row: AgainstNoise) -> str:
    difference = number(row.difference, 3, signed=True)
    return difference if row.standard_error is None else f"{difference} ± {number(row.standard_error, 3)}"


def _floor_notes(result: EvaluationResult, standing: Mapping[str, AgainstNoise]) -> list[str]:
    notes = []
    if any(row.beaten is not None for row in standing.values()):
        notes.append(
            "Beats noise: by how many of the metrics with a value for every case the edits are less similar than under "
            f"random noise of this budget, p ≤ {LEVEL:g} in the one-sided Wilcoxon signed-rank test over the "
            f"{_image_count(result)} images, with Holm's correction for the number of attacks. A difference too small "
            "to protect anything can count too: its size stands beside it."
        )
    if standing:
        notes.append(
            f"{PROTECTION.upper()} against noise: mean difference of the edits' {PROTECTION.upper()} to that under the "
            "noise, case by case, ± its standard error over the images; the further below zero, the better."
        )
    if any(row.share_of_reroll is not None for row in standing.values()):
        notes.append(
            "Of a re-roll: this difference as a share of the re-roll's. At 100 % an attack changes an edit as much as "
            "another seed does."
        )
    return notes


def _image_count(result: EvaluationResult) -> int:
    return len({case.image_id for case in result.cases})


def _tells_apart(metric: MetricInfo, methods: Sequence[MethodResult]) -> bool:
    return len({method.metrics[metric.name].mean for method in methods if metric.name in method.metrics}) > 1 and all(
        metric.name in method.metrics for method in methods
    )


def _similarity(method: MethodResult, metric: MetricInfo) -> float:
    """Return a mean so that a smaller one is a better protection."""
    mean = method.metrics[metric.name].mean
    return mean if metric.higher_is_more_similar else -mean


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
