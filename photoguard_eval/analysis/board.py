"""The board: rows that were measured in different runs, perhaps by different people, and which can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import SkipValidation

from photoguard_eval.analysis.ranking import Ranking, rank
from photoguard_eval.analysis.rows import is_of_finished_files
from photoguard_eval.analysis.values import Value
from photoguard_eval.plugins.source_code import PACKAGE
from photoguard_eval.results.conditions import Conditions, conditions_of, differing_condition
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import Purification, ResultRow, RowId
from photoguard_eval.results.schema import EvaluationResult

Shared = Mapping[str, Sequence[EvaluationResult]]
"""Results of others by where they were read from."""

OWN = ""
"""Stands for that place where the results are one's own."""

NOT_MEASURED = "not measured"
"""Why a row cannot be compared by a metric that its result does not have."""


class Place(Value):
    """What rows must share to stand in one table.

    Attributes:
        editor: The editor.
        model: Name of the model.
        dataset: Name of the dataset.
        preset: Name of the preset.
        purification: What was done to the images before they were edited; None for nothing.
        changed: Settings of the edits that are not the preset's, each with its value as text.
    """

    editor: str
    model: str
    dataset: str
    preset: str
    purification: Purification | None = None
    changed: tuple[tuple[str, str], ...] = ()


class BoardRow(Value):
    """A row of the board. Results were checked when they were read; once more for each row would take long.

    Attributes:
        result: The result that it stands in.
        row: The row; an attack that has the name of another's has the place of its result behind its own.
        differs: By which metrics it cannot be compared with the group's latest result, and which condition differs.
    """

    result: SkipValidation[EvaluationResult]
    row: SkipValidation[ResultRow]
    differs: dict[str, str]

    def comparable(self, metric: MetricInfo) -> bool:
        """Tell whether its value by a metric was measured under the conditions of the latest result."""
        return metric.name not in self.differs


class BoardGroup(Value):
    """The rows that stand in one table.

    Attributes:
        place: What they share.
        latest: The result under whose conditions all that is compared was measured.
        rows: All rows, those of unprotected images first.
        ranked: The latest result with the rows that were measured under its conditions, by all metrics that rank.
        rankings: Their rankings.
    """

    place: Place
    latest: SkipValidation[EvaluationResult]
    rows: tuple[BoardRow, ...]
    ranked: SkipValidation[EvaluationResult]
    rankings: tuple[Ranking, ...]


class _Entry(NamedTuple):
    result: EvaluationResult
    row: ResultRow

    @property
    def place(self) -> Place:
        result, editor = self.result, self.row.editor
        settings = result.editors[editor]
        return Place(
            editor=editor,
            model=result.model.name,
            dataset=result.dataset.name,
            preset=result.preset,
            purification=self.row.purification,
            changed=tuple((name, f"{settings[name]}") for name in result.changed_settings if name in settings),
        )


def make_board(results: Sequence[EvaluationResult], shared: Shared | None = None) -> tuple[BoardGroup, ...]:
    """Gather the rows of all results.

    Args:
        results: Results in any order; where several hold the same row, the one that started last wins.
        shared: Results of others. An attack of theirs that has the name of another has its place behind its own.

    Returns:
        A group for each editor, model, dataset and preset, and for changed settings of the edits.
    """
    shared = shared or {}
    everything = [*results, *(result for group in shared.values() for result in group)]
    groups: dict[Place, list[_Entry]] = {}
    for entry in _latest(results, shared):
        groups.setdefault(entry.place, []).append(entry)
    return tuple(_group(place, _references(everything, place), entries) for place, entries in groups.items())


def _group(place: Place, references: Sequence[_Entry], entries: Sequence[_Entry]) -> BoardGroup:
    latest = max((entry.result for entry in entries), key=lambda result: result.provenance.started)
    expected = {metric.name: _conditions(latest, place.editor, metric) for metric in latest.metrics}
    rows = tuple(
        BoardRow(result=entry.result, row=entry.row, differs=_differences(latest, expected, entry))
        for entry in (*references, *entries)
    )
    ranked = _with_rows(latest, place, [row for row in rows if _is_ranked(row, latest)])
    return BoardGroup(place=place, latest=latest, rows=rows, ranked=ranked, rankings=rank(ranked, place.editor))


def _is_ranked(row: BoardRow, latest: EvaluationResult) -> bool:
    return all(row.comparable(metric) for metric in latest.metrics if metric.ranked)


def _with_rows(latest: EvaluationResult, place: Place, rows: Sequence[BoardRow]) -> EvaluationResult:
    return latest.replaced(
        originals=tuple(row for row in latest.originals if row.purification == place.purification),
        attack_rows=tuple(row.row for row in rows if row.row.attack is not None),
        rerolls=tuple(row.row for row in rows if row.row.rerolled),
    )


def _differences(latest: EvaluationResult, expected: Mapping[str, Conditions], entry: _Entry) -> dict[str, str]:
    """Return by which metrics an entry was measured under other conditions than the latest result."""
    found = {}
    for metric in latest.metrics:
        own = entry.result.metric(metric.name)
        if own is None:
            found[metric.name] = NOT_MEASURED
            continue
        measured = _conditions(entry.result, entry.row.editor, own)
        difference = differing_condition(expected[metric.name], measured)
        if difference:
            found[metric.name] = difference
    return found


def _conditions(result: EvaluationResult, editor: str, metric: MetricInfo) -> Conditions:
    return conditions_of(result, [metric], [editor])


def _references(results: Sequence[EvaluationResult], place: Place) -> list[_Entry]:
    """Return the rows of unprotected images that belong into a table, each of the latest result that has it."""
    latest: dict[RowId, _Entry] = {}
    for result in sorted(results, key=lambda result: result.provenance.started):
        for row in (*result.originals, *result.rerolls):
            entry = _Entry(result, row)
            if entry.place == place:
                latest[row.id] = entry
    return sorted(latest.values(), key=lambda entry: entry.row.rerolled)


def _latest(results: Sequence[EvaluationResult], shared: Shared) -> Iterator[_Entry]:
    """Yield each row of an attack once: the latest of those that are of one attack under one label in one place."""
    origins = [(origin, result) for origin, group in ({OWN: results} | dict(shared)).items() for result in group]
    rows: dict[tuple[RowId, Place], dict[str, _Entry]] = {}
    for origin, result in sorted(origins, key=lambda pair: pair[1].provenance.started):
        for row in result.attack_rows:
            entry = _Entry(result, row)
            standing = rows.setdefault((row.id, entry.place), {})
            for other, (_, earlier) in list(standing.items()):
                if other == origin or _is_same_attack(earlier, row):
                    del standing[other]
            standing[origin] = entry
    for standing in rows.values():
        for origin, (result, row) in standing.items():
            yield _Entry(result, row if origin == OWN or len(standing) == 1 else _named_after(row, origin))


def _is_same_attack(one: ResultRow, other: ResultRow) -> bool:
    """Tell whether two rows of one label, measured by different people, are the same attack and not two namesakes.

    One of this package is, whatever its version; one from elsewhere if its source is the same. A row that was only
    copied is the same, too, and for a folder of images there is no other sign.
    """
    first, second = one.attack, other.attack
    if first is None or second is None:
        return True
    if not (is_of_finished_files(first) or is_of_finished_files(second)):
        if first.source == second.source == PACKAGE:
            return True
        if first.fingerprint == second.fingerprint != "":
            return True
    return one.metrics == other.metrics


def _named_after(row: ResultRow, origin: str) -> ResultRow:
    assert row.attack is not None, "rows of unprotected images have no namesakes"
    attack = row.attack.model_copy(
        update={"label": f"{row.attack.label} [{origin}]", "title": f"{row.attack.title} [{origin}]"}
    )
    return row.model_copy(update={"attack": attack})
