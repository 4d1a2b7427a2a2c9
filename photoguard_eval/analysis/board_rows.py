"""The board's rows for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from photoguard_eval.analysis.board import BoardGroup, BoardRow, Shared, make_board
from photoguard_eval.analysis.ranking import RankedRow
from photoguard_eval.results.rows import Summary
from photoguard_eval.results.schema import EvaluationResult


def leaderboard_rows(results: Sequence[EvaluationResult], shared: Shared | None = None) -> list[dict[str, Any]]:
    """Return one row per attack, editor, purifier, model, dataset and preset.

    The unprotected images have rows too, "original" and "re-roll", which stand before those of the attacks.

    Args:
        results: Results in any order; where several hold the same row, the one that started last wins.
        shared: Results of others. An attack of theirs that has the name of another has its place behind its own.

    Returns:
        Dictionaries with these keys, whose values JSON can hold:

        - "attack", "editor", "model", "dataset", "preset", "n".
        - "budget": {"norm", "levels"}, in levels of 255; None for unprotected images.
        - "purifier": {"purifier", "strength"} of what was done to the images before they were edited; None for nothing.
        - "metrics": by name {"mean", "std"}; a set metric has no "std".
        - "mean_rank": among the rows of the same budget, 1 is the best; None for a row that is not ranked.
        - "ranks": by the metric's name {"rank", "clear"}, see `Rank`; empty for a row that is not ranked.
        - "against_noise": what `AgainstNoise` holds; None where the row cannot be compared with noise of its budget.
        - "differs": by which metrics the row cannot be compared with the latest result, and why.
    """
    return [row for group in make_board(results, shared) for row in _group_rows(group)]


def _group_rows(group: BoardGroup) -> list[dict[str, Any]]:
    ranked = {row.id: row for ranking in group.rankings for row in ranking.rows}
    against_noise = {row_id: row.against_noise for row_id, row in ranked.items()}
    # Beside the noise of the largest budget, where there are several.
    rerolls = [ranking.reroll for ranking in sorted(group.rankings, key=lambda ranking: ranking.budget.levels)]
    reroll = next((standing for standing in reversed(rerolls) if standing is not None), None)
    against_noise |= {row.id: reroll for row in group.ranked.rerolls}
    return [_row(entry, ranked.get(entry.row.id), against_noise.get(entry.row.id)) for entry in group.rows]


def _row(entry: BoardRow, ranked: RankedRow | None, against_noise: Any) -> dict[str, Any]:
    result, row, budget = entry.result, entry.row, entry.row.id.budget
    return {
        "attack": row.label,
        "editor": row.editor,
        "budget": None if budget is None else budget.model_dump(),
        "purifier": None if row.purification is None else row.purification.model_dump(),
        "model": result.model.name,
        "dataset": result.dataset.name,
        "preset": result.preset,
        "n": row.n,
        "metrics": {name: _mean_and_std(summary) for name, summary in row.metrics.items()},
        "mean_rank": None if ranked is None else ranked.mean_rank,
        "ranks": {} if ranked is None else {name: own.model_dump() for name, own in ranked.ranks.items()},
        "against_noise": None if against_noise is None else against_noise.model_dump(),
        "differs": entry.differs,
    }


def _mean_and_std(summary: Summary) -> dict[str, float]:
    if summary.std is None:
        return {"mean": summary.mean}
    return {"mean": summary.mean, "std": summary.std}
