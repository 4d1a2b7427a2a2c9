"""Rows of a result by what they are of: an editor, a budget, an attack with its arguments.

What identifies a row is its `RowId`; it is read here and nowhere else in the analysis and the reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from photoguard_eval.analysis.statistics import paired_difference
from photoguard_eval.attacks import ATTACKS
from photoguard_eval.results.facts import AttackInfo
from photoguard_eval.results.rows import Budget, ResultRow, RowId
from photoguard_eval.results.schema import EvaluationResult

PAPER_BUDGET = Budget(norm="linf", levels=16)
"""Table 9. The presets have it too."""


def levels_of(row: ResultRow) -> float:
    """Return the budget of a row's attack in levels of 255; 0 for unprotected images."""
    budget = row.id.budget
    return budget.levels if budget else 0.0


def is_floor(row: ResultRow) -> bool:
    """Tell whether a row is of an attack that all others have to beat, as random noise is."""
    attack = None if row.attack is None else ATTACKS.registered(row.attack.name)
    return attack is not None and attack.is_floor


def is_of_finished_files(attack: AttackInfo) -> bool:
    """Tell whether an attack stands for images that were finished elsewhere."""
    found = ATTACKS.registered(attack.name)
    return found is not None and found.is_finished


def is_of_the_preset(row: ResultRow) -> bool:
    """Tell whether a row's attack has the arguments and the budget of the preset; so have unprotected images."""
    return row.attack is None or (row.label == row.attack.name and row.id.budget == PAPER_BUDGET)


def row_name(row: RowId) -> str:
    """Return how baselines and the gate call a row: by its label, with what is not as the paper has it behind it."""
    budget = f" at {row.budget}" if row.budget not in (None, PAPER_BUDGET) else ""
    purification = f", purified by {row.purification}" if row.purification else ""
    return f"{row.label}{budget}{purification}"


def attack_rows(result: EvaluationResult, editor: str) -> tuple[ResultRow, ...]:
    """Return the rows of an editor's attacks, in the order of the result."""
    return tuple(row for row in result.attack_rows if row.editor == editor)


def rows_of_attack(result: EvaluationResult, editor: str, name: str) -> list[ResultRow]:
    """Return an editor's rows of one attack, the one with the preset's arguments first."""
    rows = [row for row in attack_rows(result, editor) if row.attack is not None and row.attack.name == name]
    return sorted(rows, key=lambda row: not is_of_the_preset(row))


def paired_change(
    result: EvaluationResult, metric: str, row: ResultRow, other: ResultRow
) -> tuple[float, float | None] | None:
    """Return by how much a row's scores lie above another's, over the cases that have both.

    Args:
        result: Whose cases the rows have.
        metric: Name of a metric.
        row: The row.
        other: The other, of the same cases.

    Returns:
        The mean and its standard error, see `paired_difference`; None where no case has a score, as of a set metric.
    """
    cases = [
        (own.scores[metric], theirs.scores[metric], info.image_id)
        for info, own, theirs in zip(result.cases, row.cases, other.cases, strict=True)
        if metric in own.scores and metric in theirs.scores
    ]
    return paired_difference(*zip(*cases, strict=True)) if cases else None


def with_reroll(result: EvaluationResult, editor: str) -> tuple[ResultRow, ...]:
    """Return the rows whose edits are compared with those of the originals: a re-roll, if there is one, and attacks."""
    reroll = result.reroll(editor)
    return (() if reroll is None else (reroll,)) + attack_rows(result, editor)


def with_references(result: EvaluationResult, editor: str) -> tuple[ResultRow, ...]:
    """Return all rows of an editor, those of unprotected images first."""
    original = result.original(editor)
    return (() if original is None else (original,)) + with_reroll(result, editor)


def by_id(rows: Iterable[ResultRow]) -> dict[RowId, ResultRow]:
    """Return rows by what analyses name them by."""
    return {row.id: row for row in rows}


def attacks_of(result: EvaluationResult) -> tuple[tuple[AttackInfo, tuple[Budget, ...]], ...]:
    """Return the attacks of a result, each once, with its budgets in the order of the result."""
    attacks = {row.attack.label: row.attack for row in result.attack_rows if row.attack is not None}
    budgets: dict[str, dict[Budget, None]] = {}
    for row in result.attack_rows:
        if row.id.budget is not None:
            budgets.setdefault(row.label, {})[row.id.budget] = None
    return tuple((attack, tuple(budgets[label])) for label, attack in attacks.items())


def by_budget(rows: Iterable[ResultRow]) -> dict[Budget, list[ResultRow]]:
    """Return rows of attacks by their budget, in the order in which each budget comes first."""
    budgets: dict[Budget, list[ResultRow]] = {}
    for row in rows:
        if row.id.budget is not None:
            budgets.setdefault(row.id.budget, []).append(row)
    return budgets


def by_attack(rows: Iterable[ResultRow]) -> tuple[tuple[ResultRow, ...], ...]:
    """Group rows whose attacks differ in the budget's size alone; of each group the smallest budget first."""
    groups: dict[RowId, list[ResultRow]] = {}
    for row in rows:
        groups.setdefault(_at_no_size(row), []).append(row)
    return tuple(tuple(sorted(group, key=levels_of)) for group in groups.values())


def with_largest_budgets(rows: Sequence[ResultRow]) -> tuple[ResultRow, ...]:
    """Leave out the rows of an attack that is there with a larger budget, too."""
    largest = {_at_no_size(group[-1]): levels_of(group[-1]) for group in by_attack(rows)}
    return tuple(row for row in rows if levels_of(row) == largest[_at_no_size(row)])


def _at_no_size(row: ResultRow) -> RowId:
    """Return what is the same for rows of one attack at several budgets of one norm."""
    budget = row.id.budget
    return row.id.model_copy(update={"budget": budget and Budget(norm=budget.norm, levels=0)})
