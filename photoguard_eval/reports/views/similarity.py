"""How similar edits of immunized images are to those of the originals: the paper's tables, and further measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from photoguard_eval.analysis.claims import PAPER_EDITOR
from photoguard_eval.analysis.rows import is_of_the_preset, with_reroll
from photoguard_eval.metrics import distribution_metrics
from photoguard_eval.reports import paper
from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.naming import MISSING, column_label, number, reroll_notes, row_titles
from photoguard_eval.reports.views.columns import (
    NOTE_ARROWS,
    extractor_notes,
    metric_cells,
    table_rows,
    unsettled_notes,
)
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.results.facts import MetricInfo
from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult

NOTE_PAPER = (
    f'Rows marked "paper, SD 1.5" are printed in {paper.SOURCE}; they have no part in what is bold. '
    'Rows marked "difference" say how far the measured mean lies from the printed one, in printed standard deviations.'
)
NOTE_PAPER_FEATURES = (
    "† Computed on Inception-v3 features, as piq does. The paper prints one number, PR, and does not say whether it is "
    "precision or recall; it stands in the first of the two columns."
)


def similarity_tables(subject: Subject, editor: str) -> Iterator[Table]:
    """Make the paper's tables and one of this benchmark's own measures."""
    result = subject.result
    printed = subject.paper_rows and editor == PAPER_EDITOR
    of_edits = [metric for metric in result.metrics if metric.subject == "edit" and metric.kind != "prompt"]
    for table, title, paper_rows in (
        ("6", "Table 6: similarity of edits", printed),
        ("10", "Table 10: further similarity metrics", printed),
        ("", "Measures of this benchmark", False),
    ):
        metrics = [metric for metric in of_edits if metric.table == table]
        yield _similarity_table(result, editor, title, metrics, paper_rows)


def _similarity_table(
    result: EvaluationResult, editor: str, title: str, metrics: Sequence[MetricInfo], printed: bool
) -> Table:
    rows = with_reroll(result, editor)
    columns = [[Cell(title) for title in row_titles(rows)]]
    columns += [metric_cells(metric, rows) for metric in metrics]
    shown = table_rows(columns)
    notes = [
        NOTE_ARROWS,
        *reroll_notes(rows),
        *extractor_notes(metrics),
        *_sample_notes(metrics, result),
        *_left_out_note(result),
    ]
    if printed:
        shown += _paper_rows(metrics, rows)
        notes.append(NOTE_PAPER)
        if any(metric.name in paper.FEATURE_METRICS for metric in metrics):
            notes.append(NOTE_PAPER_FEATURES)
    header = (Column("Method", numeric=False), *(Column(column_label(metric)) for metric in metrics))
    return Table(title, header, shown, tuple(notes))


def _paper_rows(metrics: Sequence[MetricInfo], rows: Sequence[ResultRow]) -> tuple[Row, ...]:
    """Return the paper's rows, and under each how far the measured row of the same attack lies from it."""
    # With other arguments, a budget of its own for example, a row is not that of the paper.
    measured = {row.attack.title: row for row in rows if row.attack and is_of_the_preset(row)}
    shown = []
    for printed in paper.ROWS:
        cells = [_paper_cell(printed, metric.name) for metric in metrics]
        shown.append(Row((Cell(f"{printed.title}, paper, SD 1.5"), *cells), from_paper=True))
        row = measured.get(printed.title)
        if row is not None:
            differences = [_difference_cell(printed, row, metric.name) for metric in metrics]
            shown.append(Row((Cell(f"{printed.title}, difference"), *differences), from_paper=True))
    return tuple(shown)


def _difference_cell(printed: paper.PaperRow, row: ResultRow, metric: str) -> Cell:
    value, summary = printed.values.get(metric), row.metrics.get(metric)
    if value is None or summary is None or not value.std:
        return Cell(MISSING)
    return Cell(f"{number((summary.mean - float(value.mean)) / float(value.std), 1, signed=True)} σ")


def _paper_cell(row: paper.PaperRow, metric: str) -> Cell:
    value = row.values.get(metric)
    if value is None:
        return Cell(MISSING)
    return Cell(f"{value.text} †" if metric in paper.FEATURE_METRICS else value.text)


def _sample_notes(metrics: Sequence[MetricInfo], result: EvaluationResult) -> list[str]:
    of_sets = [metric for metric in metrics if metric.kind == "distribution"]
    n = result.dataset.n
    notes = [_cases_note(n)] if any(metric not in of_sets for metric in metrics) else []
    biased = ", ".join(metric.label for metric in of_sets if not metric.unbiased)
    if biased:
        notes.append(
            f"{biased}: one value over the set of all {n} edits, biased for sets this small; compare rows, not papers."
        )
    notes += unsettled_notes(metrics, n)
    unbiased = ", ".join(metric.label for metric in of_sets if metric.unbiased)
    if unbiased:
        notes.append(f"{unbiased}: one value over the set of all {n} edits, without bias; 0 or below is no difference.")
    return notes


def _cases_note(n: int) -> str:
    if n == 1:
        return "Of a single case, n = 1: nothing says how far other cases lie from it."
    return f"Mean ± standard deviation over n = {n} cases."


def _left_out_note(result: EvaluationResult) -> list[str]:
    n = result.dataset.n
    left_out = [
        metric.label for metric in distribution_metrics() if metric.needs_more(n) and result.metric(metric.name) is None
    ]
    if not left_out:
        return []
    edits = "one edit" if n == 1 else f"{n} edits"
    return [f"{', '.join(left_out)}: left out, since a set of {edits} is too small to be compared by it."]
