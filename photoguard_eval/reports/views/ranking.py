"""Who protects best at an equal budget, and by how much each row is ahead of random noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from photoguard_eval.analysis.floor import LEVEL, PROTECTION, AgainstNoise
from photoguard_eval.analysis.ranking import RankedRow, Ranking
from photoguard_eval.analysis.rows import attack_rows, by_id
from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.naming import MISSING, budget_text, metric_label, number, reroll_notes, row_titles
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult

_Column = tuple[Column, list[Cell]]


def editor_rankings(subject: Subject, editor: str) -> Iterator[Table]:
    """Make a table of ranks for each budget that several attacks share, in the order of the result."""
    yield from ranking_tables(subject.result, subject.findings.rankings[editor])


def ranking_tables(result: EvaluationResult, rankings: Sequence[Ranking]) -> tuple[Table, ...]:
    """Return a table for each ranking of several rows.

    Args:
        result: The result that holds the rows.
        rankings: Rankings of its rows under one editor.
    """
    return tuple(_ranking_table(result, ranking) for ranking in rankings if len(ranking.rows) > 1)


def _ranking_table(result: EvaluationResult, ranking: Ranking) -> Table:
    rows = ranking.rows
    shown = _in_order(result, ranking)
    best = [row.mean_rank == rows[0].mean_rank < rows[-1].mean_rank for row in rows]
    columns = [
        (Column("Method", numeric=False), [Cell(title) for title in row_titles(shown)]),
        (Column("Mean rank"), [Cell(number(row.mean_rank, 1), best=own) for row, own in zip(rows, best, strict=True)]),
        *_floor_columns(ranking),
        *((Column(metric_label(result, name)), _rank_cells(rows, name)) for name in ranking.metrics),
    ]
    # A re-roll has no rank.
    filled = [[*cells, *[Cell(MISSING)] * (len(shown) - len(cells))] for _, cells in columns]
    return Table(
        f"Ranking at {budget_text(ranking.budget)}",
        tuple(heading for heading, _ in columns),
        tuple(Row(cells) for cells in zip(*filled, strict=True)),
        (*_notes(ranking), *_floor_notes(result, ranking), *reroll_notes(shown)),
    )


def _in_order(result: EvaluationResult, ranking: Ranking) -> list[ResultRow]:
    """Return the rows of a ranking, and the re-roll last where it is compared with the noise; it says nothing else."""
    found = by_id(attack_rows(result, ranking.editor))
    reroll = result.reroll(ranking.editor) if ranking.reroll is not None else None
    return [*(found[row.id] for row in ranking.rows), *([reroll] if reroll is not None else [])]


def _rank_cells(rows: Sequence[RankedRow], metric: str) -> list[Cell]:
    own = [row.ranks[metric] for row in rows]
    first = min(place.rank for place in own)
    return [Cell(f"{place.rank:g}" if place.clear else f"{place.rank:g} ≈", best=place.rank == first) for place in own]


def _floor_columns(ranking: Ranking) -> list[_Column]:
    """Return the columns that compare rows with random noise, as far as there is anything to say."""
    standing = _standing(ranking)
    columns = [
        ("Beats noise", [_beaten_text(row) for row in standing]),
        (f"{PROTECTION.upper()} against noise", [_difference_text(row) for row in standing]),
        ("Of a re-roll", [_share_text(row) for row in standing]),
    ]
    return [(Column(label), [Cell(text or MISSING) for text in texts]) for label, texts in columns if any(texts)]


def _standing(ranking: Ranking) -> list[AgainstNoise | None]:
    return [*(row.against_noise for row in ranking.rows), *([ranking.reroll] if ranking.reroll else [])]


def _beaten_text(row: AgainstNoise | None) -> str:
    return "" if row is None or row.beaten is None else f"{row.beaten} of {row.tested}"


def _difference_text(row: AgainstNoise | None) -> str:
    if row is None:
        return ""
    difference = number(row.difference, 3, signed=True)
    return difference if row.standard_error is None else f"{difference} ± {number(row.standard_error, 3)}"


def _share_text(row: AgainstNoise | None) -> str:
    return "" if row is None or row.share_of_reroll is None else f"{number(100 * row.share_of_reroll, 0)} %"


def _notes(ranking: Ranking) -> list[str]:
    notes = [
        f"Ranks of the {len(ranking.rows)} rows with this budget; 1 leaves the edit least similar to that of the "
        "original, or to its prompt. ≈: behind the first by less than two standard errors of the difference over the "
        "images, so perhaps by chance; of a set metric that is not known. Metrics by which all rows are equal are left "
        "out, and those of sets where the cases are too few to say who is better.",
    ]
    if ranking.concordance is not None:
        notes.append(
            f"Agreement of the metrics on the ranks, Kendall's W: {number(ranking.concordance, 2)} (1: all give the "
            "same ranks, 0: they have nothing in common)."
        )
    return notes


def _floor_notes(result: EvaluationResult, ranking: Ranking) -> list[str]:
    standing = [row for row in _standing(ranking) if row is not None]
    notes = []
    if any(row.beaten is not None for row in standing):
        images = len({case.image_id for case in result.cases})
        notes.append(
            "Beats noise: by how many of the metrics with a value for every case the edits are less similar than under "
            f"random noise of this budget, p ≤ {LEVEL:g} in the one-sided Wilcoxon signed-rank test over the "
            f"{images} images, with Holm's correction for the number of attacks. A difference too small "
            "to protect anything can count too: its size stands beside it."
        )
    if standing:
        notes.append(
            f"{PROTECTION.upper()} against noise: mean difference of the edits' {PROTECTION.upper()} to that under the "
            "noise, case by case, ± its standard error over the images; the further below zero, the better."
        )
    if any(row.share_of_reroll is not None for row in standing):
        notes.append(
            "Of a re-roll: this difference as a share of the re-roll's. At 100 % an attack changes an edit as much as "
            "another seed does."
        )
    return notes
