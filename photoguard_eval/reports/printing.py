"""Reports for a terminal, as text."""

from __future__ import annotations

from collections.abc import Sequence

from photoguard_eval.analysis.board import Shared, make_board
from photoguard_eval.analysis.verdict import summarize_gate
from photoguard_eval.reports.render import terminal
from photoguard_eval.reports.render.terminal import DEFAULT_WIDTH
from photoguard_eval.reports.views import board_sections, terminal_document
from photoguard_eval.reports.views.subject import subject_of
from photoguard_eval.reports.views.verdict import gate_blocks
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
    document = terminal_document(subject_of(result, gate, paper_rows=paper_rows))
    return terminal.render_document(document, bold=bold, width=width)


def gate_report(result: EvaluationResult, gate: GateReport, *, bold: bool = False, width: int = DEFAULT_WIDTH) -> str:
    """Print how the claims stand, the thresholds that were not kept, and the verdict.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        bold: Whether to use ANSI codes.
        width: Columns of the terminal.
    """
    return terminal.render_blocks(gate_blocks(result, summarize_gate(gate)), bold=bold, width=width)


def leaderboard_report(
    results: Sequence[EvaluationResult],
    shared: Shared | None = None,
    *,
    bold: bool = False,
    width: int = DEFAULT_WIDTH,
) -> str:
    """Print the leaderboard over several results: for each model, dataset, preset and editor rankings and means.

    Args:
        results: Results in any order; where several hold the same row, the one that started last wins.
        shared: Results of others by where they were read from. An attack of theirs that has the name of another has its
            place behind its own.
        bold: Whether to use ANSI codes.
        width: Columns of the terminal.
    """
    # Each table is read alone, so each has all of its notes.
    sections = board_sections(make_board(results, shared))
    return "\n\n".join(terminal.render_blocks(section.blocks, bold=bold, width=width) for section in sections)
