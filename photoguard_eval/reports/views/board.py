"""The leaderboard over several results: for each of its groups the rankings, and a table of means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from photoguard_eval.analysis.board import BoardGroup, Place
from photoguard_eval.reports.cells import Cell, Column, Table
from photoguard_eval.reports.document import Section
from photoguard_eval.reports.naming import column_label, editor_text, purified_text, reroll_notes, row_titles
from photoguard_eval.reports.views.columns import (
    NOTE_ARROWS,
    extractor_notes,
    metric_cells,
    table_rows,
    unsettled_notes,
)
from photoguard_eval.reports.views.ranking import ranking_tables


def board_rankings(group: BoardGroup) -> Iterator[Section]:
    """Rank the rows of a group that were measured under the same conditions."""
    for table in ranking_tables(group.ranked, group.rankings):
        yield Section("", "", (replace(table, title=f"{table.title} · {place_text(group.place)}"),))


def board_means(group: BoardGroup) -> Iterator[Section]:
    """Show the means of all rows of a group.

    Values that were not measured under the conditions of the group's latest result are marked and never bold.
    """
    latest, rows = group.latest, [entry.row for entry in group.rows]
    metrics = [metric for metric in latest.metrics if metric.on_board]
    columns = [[Cell(title) for title in row_titles(rows)], [Cell(str(row.n)) for row in rows]]
    header = [Column("Method", numeric=False), Column("n")]
    marked = False
    for metric in metrics:
        comparable = [entry.comparable(metric) for entry in group.rows]
        marked = marked or not all(comparable)
        header.append(Column(column_label(metric)))
        columns.append(metric_cells(metric, rows, comparable))
    notes = [NOTE_ARROWS, *reroll_notes(rows), "Mean ± standard deviation over n cases.", *extractor_notes(metrics)]
    notes += unsettled_notes(metrics, latest.dataset.n)
    if marked:
        notes.append(
            "* Measured with other weights, images, seeds, settings or another feature extractor than the latest "
            "result: not comparable with the rest of the column, and not ranked."
        )
    yield Section("", "", (Table(place_text(group.place), tuple(header), table_rows(columns), tuple(notes)),))


def place_text(place: Place) -> str:
    """Return what the rows of a group share in words."""
    changed = (f"{name} = {value}" for name, value in place.changed)
    purified = [] if place.purification is None else [purified_text(place.purification)]
    return " · ".join((editor_text(place.editor).title, *purified, place.model, place.dataset, place.preset, *changed))
