"""The report for a terminal."""

from __future__ import annotations

import textwrap

from photoguard_eval.reports.cells import Table, without_repeated_notes
from photoguard_eval.reports.naming import editor_text
from photoguard_eval.reports.rendering import DEFAULT_WIDTH, render_terminal
from photoguard_eval.reports.tables import editor_tables
from photoguard_eval.reports.verdicts import (
    claims_summary,
    claims_table,
    failed_thresholds,
    gate_verdict,
    thresholds_table,
)
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult


def terminal_report(
    result: EvaluationResult,
    gate: GateReport,
    *,
    paper_rows: bool = False,
    bold: bool = False,
    width: int = DEFAULT_WIDTH,
) -> str:
    """Print all tables of a result, the claims and the gate's verdict.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        paper_rows: Whether the paper's own rows stand beside the measured ones.
        bold: Whether to use ANSI codes; only where the output is a terminal.
        width: Columns of the terminal; no line is longer.
    """
    parts = [f"{result.model.name} · {result.dataset.name} · preset {result.preset} · n = {result.dataset.n}"]
    seen: set[str] = set()
    for editor in result.editors:
        parts.append(_rule(f"{editor_text(editor).title} ({editor})", width))
        tables: list[Table] = [*editor_tables(result, editor, paper_rows=paper_rows)]
        claims = claims_table(result, gate, editor)
        tables += [claims] if claims.rows else []
        parts += [render_terminal(table, bold=bold, width=width) for table in without_repeated_notes(tables, seen)]
    parts += [_rule("Verdict", width), gate_report(result, gate, bold=bold, width=width)]
    return "\n\n".join(parts) + "\n"


def gate_report(result: EvaluationResult, gate: GateReport, *, bold: bool = False, width: int = DEFAULT_WIDTH) -> str:
    """Print how the claims stand, the thresholds that were not kept, and the verdict.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        bold: Whether to use ANSI codes.
        width: Columns of the terminal.
    """
    parts = [render_terminal(claims_summary(gate), bold=bold, width=width)] if gate.claims else []
    broken = failed_thresholds(gate)
    if broken:
        parts.append(render_terminal(thresholds_table(result, broken), bold=bold, width=width))
    stopped = [f"Stopped: {failure.attack} ({failure.editor}): {failure.error}" for failure in gate.failures]
    verdict = gate_verdict(gate)
    parts += [textwrap.fill(text, width) for text in stopped]
    parts.append("\n".join(textwrap.fill(text, width) for text in (*verdict.details, verdict.headline)))
    return "\n\n".join(parts)


def _rule(text: str, width: int) -> str:
    return f"── {text} ".ljust(width, "─")
