"""How visible immunization is, and what each attack may do and know."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from photoguard_eval.analysis.rows import attack_rows
from photoguard_eval.reports.cells import Cell, Column, Table
from photoguard_eval.reports.naming import MISSING, budget_text, column_label, knowledge_text, number, row_titles
from photoguard_eval.reports.views.columns import metric_cells, table_rows
from photoguard_eval.reports.views.subject import Subject
from photoguard_eval.results.facts import AttackInfo, ThreatModelInfo
from photoguard_eval.results.rows import ResultRow


def imperceptibility_table(subject: Subject, editor: str) -> Iterator[Table]:
    """Make a table of the immunized images beside the originals."""
    rows = attack_rows(subject.result, editor)
    metrics = [metric for metric in subject.result.metrics if metric.subject == "immunized"]
    columns = [[Cell(title) for title in row_titles(rows)]]
    columns += [metric_cells(metric, rows) for metric in metrics]
    columns += [
        [_threat_model_cell(row.attack, budget_text) for row in rows],
        [Cell(_largest_change(row)) for row in rows],
        [Cell(_typical_change(row)) for row in rows],
        [_threat_model_cell(row.attack, knowledge_text) for row in rows],
    ]
    header = (
        Column("Method", numeric=False),
        *(Column(column_label(metric)) for metric in metrics),
        Column("Budget"),
        Column("Largest change"),
        Column("RMS change"),
        Column("Sees", numeric=False),
    )
    notes = (
        "The immunized image beside the original: here more similar is better, since the change should not be seen. "
        "Changes are in levels of 1/255, measured on the saved files.",
    )
    yield Table("Imperceptibility and threat model", header, table_rows(columns), notes)


def _threat_model_cell(attack: AttackInfo | None, text: Callable[[ThreatModelInfo], str]) -> Cell:
    return Cell(MISSING if attack is None else text(attack.threat_model))


def _largest_change(row: ResultRow) -> str:
    return number(max((case.linf_levels for case in row.cases), default=0.0), 1)


def _typical_change(row: ResultRow) -> str:
    return number(sum(case.rms_levels for case in row.cases) / max(len(row.cases), 1), 2)
