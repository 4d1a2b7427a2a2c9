"""Figure 7 as numbers: how similar edits are to their prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from photoguard_eval.analysis.rows import with_references
from photoguard_eval.reports.cells import Cell, Column, Table
from photoguard_eval.reports.naming import MISSING, column_label, decimals_for, number, reroll_notes, row_titles
from photoguard_eval.reports.views.columns import extractor_notes, metric_cells, table_rows
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import ResultRow, Summary
from photoguard_eval.results.schema import EvaluationResult

_QUARTILES: tuple[tuple[str, Callable[[Summary], float | None]], ...] = (
    ("25 %", lambda summary: summary.first_quartile),
    ("median", lambda summary: summary.median),
    ("75 %", lambda summary: summary.third_quartile),
)


def prompt_table(subject: Subject, editor: str) -> Iterator[Table]:
    """Make a table of the metrics of image and text."""
    result = subject.result
    rows = with_references(result, editor)
    metrics = [metric for metric in result.metrics if metric.kind == "prompt"]
    header = [Column("Method", numeric=False)]
    columns = [[Cell(title) for title in row_titles(rows)]]
    for metric in metrics:
        header.append(Column(column_label(metric)))
        columns.append(metric_cells(metric, rows))
        for heading, read in _QUARTILES:
            header.append(Column(heading if len(metrics) == 1 else f"{metric.label}, {heading}"))
            columns.append(_quartile_cells(metric, rows, read))
    notes = (
        "Mean ± standard deviation and quartiles over the cases, drawn in Figure 7. The arrow points to an edit that "
        "follows the prompt; a good immunization keeps it from doing so.",
        *reroll_notes(rows),
        *_seed_notes(result, rows),
        *extractor_notes(metrics),
    )
    yield Table("Figure 7 as numbers: similarity of the edit to the prompt", tuple(header), table_rows(columns), notes)


def _seed_notes(result: EvaluationResult, rows: Sequence[ResultRow]) -> list[str]:
    """Say which of the rows of unprotected images a drop is to be counted from."""
    if not any(row.rerolled for row in rows):
        return []
    return [
        f"All rows but the re-roll have these seeds: {result.dataset.seeds}. Where they were selected for edits of the "
        "unprotected image that follow the prompt, the mean without immunization is too high by just that, and every "
        "other edit falls behind it. Count a drop from the re-roll, whose seeds nobody has selected."
    ]


def _quartile_cells(
    metric: MetricInfo, rows: Sequence[ResultRow], read: Callable[[Summary], float | None]
) -> list[Cell]:
    summaries = [row.metrics.get(metric.name) for row in rows]
    decimals = decimals_for([summary.mean for summary in summaries if summary is not None])
    values = [read(summary) if summary is not None else None for summary in summaries]
    return [Cell(MISSING if value is None else number(value, decimals)) for value in values]
