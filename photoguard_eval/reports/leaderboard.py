"""The leaderboard over several results: rows that were measured in different runs, perhaps by different people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from photoguard_eval.attacks.folder import FolderAttack
from photoguard_eval.plugins.source_code import PACKAGE
from photoguard_eval.reports.cells import Cell, Column, Table
from photoguard_eval.reports.floor import AgainstNoise, against_noise
from photoguard_eval.reports.naming import (
    PROTECTION,
    column_label,
    editor_text,
    levels_of,
    method_titles,
    reroll_notes,
)
from photoguard_eval.reports.ranking import RANKED, ranked_metrics, ranking_tables, rows_by_budget
from photoguard_eval.reports.tables import (
    NOTE_ARROWS,
    extractor_notes,
    metric_cells,
    named_metrics,
    table_rows,
    unsettled_notes,
)
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import REFERENCES, MethodResult, Summary
from photoguard_eval.results.schema import EvaluationResult

BOARD = ("fid", "ssim", "psnr", "vifp", "fsim", "clip_similarity")
"""Columns of the table of means."""

Entry = tuple[EvaluationResult, MethodResult]
"""A row, and the result that it stands in."""

Shared = Mapping[str, Sequence[EvaluationResult]]
"""Results of others by where they were read from."""

OWN = ""
"""Stands for that place where the results are one's own."""


@dataclass(frozen=True)
class _Group:
    """The rows of all results that stand in one table.

    Attributes:
        references: The rows of unprotected images, each of the latest result that has it.
        entries: The rows of attacks.
    """

    references: list[Entry]
    entries: list[Entry]

    @property
    def latest(self) -> EvaluationResult:
        """The result under whose conditions the others must have been measured."""
        return max((result for result, _ in self.entries), key=lambda result: result.provenance.started)

    @property
    def rows(self) -> list[Entry]:
        """All rows, those of unprotected images first."""
        return [*self.references, *self.entries]

    def ranked(self) -> EvaluationResult:
        """Return the latest result with all rows that were measured under its conditions."""
        latest = self.latest
        metrics = named_metrics(latest, RANKED)

        def comparable(entries: Sequence[Entry]) -> tuple[MethodResult, ...]:
            return tuple(
                row for result, row in entries if all(_same_conditions(result, latest, metric) for metric in metrics)
            )

        rerolls = [entry for entry in self.references if entry[1].rerolled]
        return latest.replaced(methods=comparable(self.entries), rerolls=comparable(rerolls))


def leaderboard_rows(results: Sequence[EvaluationResult], shared: Shared | None = None) -> list[dict[str, Any]]:
    """Return one row per attack, editor, model, dataset and preset, for machines.

    The unprotected images have rows too, "original" and "re-roll", which stand before those of the attacks.

    Args:
        results: Results in any order; where several hold the same row, the one that started last wins.
        shared: Results of others. An attack of theirs that has the name of another has its place behind its own.

    Returns:
        Dictionaries with the keys "attack", "editor", "model", "dataset", "preset", "n", "metrics" and "against_noise".
        "metrics" maps each metric's name to {"mean", "std"}; a set metric has no "std". "against_noise" is None where
        the row cannot be compared with noise of its budget, and else what `AgainstNoise` holds, with the "metric".
    """
    rows = []
    for group in _groups(results, shared or {}):
        standing = _against_noise(group)
        rows += [
            {
                "attack": method.label,
                "editor": method.editor,
                "model": result.model.name,
                "dataset": result.dataset.name,
                "preset": result.preset,
                "n": method.n,
                "metrics": {name: _mean_and_std(summary) for name, summary in method.metrics.items()},
                "against_noise": standing.get(method.label),
            }
            for result, method in group.rows
        ]
    return rows


def leaderboard_tables(results: Sequence[EvaluationResult], shared: Shared | None = None) -> tuple[Table, ...]:
    """Return for each model, dataset, preset and editor the rankings and a table of means, of the rows of all results.

    Values that were not measured under the conditions of the group's latest result (weights, images, seeds, settings
    of the edits, feature extractor) are marked and never bold, and such rows are not ranked.

    Args:
        results: Results in any order; where several hold the same row, the one that started last wins.
        shared: Results of others. An attack of theirs that has the name of another has its place behind its own.
    """
    return tuple(table for group in _groups(results, shared or {}) for table in _group_tables(group))


def _groups(results: Sequence[EvaluationResult], shared: Shared) -> list[_Group]:
    everything = [*results, *(result for group in shared.values() for result in group)]
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for result, method in _latest(results, shared):
        groups.setdefault(_place(result, method.editor), []).append((result, method))
    return [_Group(_references(everything, place), entries) for place, entries in groups.items()]


def _references(results: Sequence[EvaluationResult], place: tuple[str, ...]) -> list[Entry]:
    """Return the rows of unprotected images that belong into a table, each of the latest result that has it."""
    latest: dict[str, Entry] = {}
    for result in sorted(results, key=lambda result: result.provenance.started):
        for row in (*result.originals, *result.rerolls):
            if _place(result, row.editor) == place:
                latest[row.label] = (result, row)
    return [latest[label] for label in REFERENCES if label in latest]


def _against_noise(group: _Group) -> dict[str, dict[str, Any]]:
    """Compare the rows of a group that can be ranked with noise of their budget; the re-roll at the largest budget."""
    result = group.ranked()
    editor = group.entries[0][1].editor
    found: dict[str, AgainstNoise] = {}
    budgets = sorted(rows_by_budget(result, editor).values(), key=lambda rows: levels_of(rows[0]))
    for rows in budgets:
        found |= against_noise(result, ranked_metrics(result, rows), rows, result.reroll(editor))
    return {label: {"metric": PROTECTION, **asdict(row)} for label, row in found.items()}


def _mean_and_std(summary: Summary) -> dict[str, float]:
    if summary.std is None:
        return {"mean": summary.mean}
    return {"mean": summary.mean, "std": summary.std}


def _latest(results: Sequence[EvaluationResult], shared: Shared) -> list[Entry]:
    origins = [(origin, result) for origin, group in ({OWN: results} | dict(shared)).items() for result in group]
    rows: dict[tuple[str, ...], dict[str, Entry]] = {}
    for origin, result in sorted(origins, key=lambda pair: pair[1].provenance.started):
        for method in result.methods:
            standing = rows.setdefault((method.label, str(method.id.budget), *_place(result, method.editor)), {})
            for other, (_, row) in list(standing.items()):
                if other == origin or _is_same_attack(row, method):
                    del standing[other]
            standing[origin] = (result, method)
    return [
        (result, method if origin == OWN or len(standing) == 1 else _named_after(method, origin))
        for standing in rows.values()
        for origin, (result, method) in standing.items()
    ]


def _is_same_attack(one: MethodResult, other: MethodResult) -> bool:
    """Tell whether two rows of one label, measured by different people, are the same attack and not two namesakes.

    One of this package is, whatever its version; one from elsewhere if its source is the same. A row that was only
    copied is the same, too, and for a folder of images there is no other sign.
    """
    first, second = one.attack, other.attack
    if first is None or second is None:
        return True
    if FolderAttack.name not in (first.name, second.name):
        if first.source == second.source == PACKAGE:
            return True
        if first.fingerprint == second.fingerprint != "":
            return True
    return one.metrics == other.metrics


def _named_after(method: MethodResult, origin: str) -> MethodResult:
    assert method.attack is not None, "rows of unprotected images have no namesakes"
    attack = method.attack.model_copy(
        update={"label": f"{method.attack.label} [{origin}]", "title": f"{method.attack.title} [{origin}]"}
    )
    return method.model_copy(update={"attack": attack})


def _place(result: EvaluationResult, editor: str) -> tuple[str, ...]:
    """Return what rows must share to stand in one table; changed settings of the edits are in its title."""
    place = (editor_text(editor).title, result.model.name, result.dataset.name, result.preset)
    return (*place, *(f"{name} = {result.editors[editor][name]}" for name in _changed(result, editor)))


def _changed(result: EvaluationResult, editor: str) -> list[str]:
    return [name for name in result.changed_settings if name in result.editors[editor]]


def _group_tables(group: _Group) -> tuple[Table, ...]:
    editor = group.entries[0][1].editor
    place = " · ".join(_place(group.latest, editor))
    rankings = ranking_tables(group.ranked(), editor)
    return (*(replace(table, title=f"{table.title} · {place}") for table in rankings), _means(place, group))


def _means(title: str, group: _Group) -> Table:
    latest, entries = group.latest, group.rows
    metrics = named_metrics(latest, BOARD)
    methods = [method for _, method in entries]
    columns = [[Cell(title) for title in method_titles(methods)], [Cell(str(method.n)) for method in methods]]
    header = [Column("Method", numeric=False), Column("n")]
    marked = False
    for metric in metrics:
        comparable = [_same_conditions(result, latest, metric) for result, _ in entries]
        marked = marked or not all(comparable)
        header.append(Column(column_label(metric)))
        columns.append(metric_cells(metric, methods, comparable))
    notes = [NOTE_ARROWS, *reroll_notes(methods), "Mean ± standard deviation over n cases.", *extractor_notes(metrics)]
    notes += unsettled_notes(metrics, latest.dataset.n)
    if marked:
        notes.append(
            "* Measured with other weights, images, seeds, settings or another feature extractor than the latest "
            "result: not comparable with the rest of the column, and not ranked."
        )
    return Table(title, tuple(header), table_rows(columns), tuple(notes))


def _same_conditions(result: EvaluationResult, latest: EvaluationResult, metric: MetricInfo) -> bool:
    return _conditions(result, metric) == _conditions(latest, metric)


def _conditions(result: EvaluationResult, metric: MetricInfo) -> tuple[Any, ...]:
    own = result.metric(metric.name)
    extractor = own.extractor if own else None
    cases = [(case.id, case.seed) for case in result.cases]
    return (result.model.weights_sha256, result.dataset.sha256, cases, result.editors, extractor)
