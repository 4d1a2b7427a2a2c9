"""Writes the report of a result: Markdown, the page, and Figure 7 as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.evaluation.results import EvaluationResult, GateReport
from photoguard_eval.files import write_atomically
from photoguard_eval.reports.figures import figure_7, figure_png
from photoguard_eval.reports.naming import editor_text, file_stem
from photoguard_eval.reports.page import render_page
from photoguard_eval.reports.pictures import ReportImages
from photoguard_eval.reports.rendering import escape_markdown, render_markdown
from photoguard_eval.reports.tables import editor_tables
from photoguard_eval.reports.verdicts import (
    claims_summary,
    claims_table,
    failed_thresholds,
    gate_verdict,
    thresholds_table,
)


@dataclass(frozen=True)
class ReportPaths:
    """Where a report was written."""

    markdown: Path
    html: Path
    figure: Path


def write_reports(
    result: EvaluationResult, gate: GateReport, folder: Path, images: ReportImages, *, paper_rows: bool = False
) -> ReportPaths:
    """Write a result's report.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        folder: Where to write.
        images: Where pictures come from.
        paper_rows: Whether the paper's own rows stand beside the measured ones.

    Raises:
        StoreError: If a picture is missing or the folder cannot be written.
    """
    stem = file_stem(result)
    paths = ReportPaths(folder / f"{stem}.md", folder / f"{stem}.html", folder / f"{stem}-figure-7.png")
    page = render_page(result, gate, images, paper_rows)
    write_atomically(paths.figure, figure_png(figure_7(result)))
    write_atomically(paths.markdown, render_report(result, gate, paths.figure.name, paper_rows).encode())
    write_atomically(paths.html, page.encode())
    return paths


def render_report(result: EvaluationResult, gate: GateReport, figure: str, paper_rows: bool) -> str:
    """Render the report as Markdown.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        figure: File name of Figure 7.
        paper_rows: Whether the paper's own rows stand beside the measured ones.
    """
    model, dataset, provenance = result.model, result.dataset, result.provenance
    verdict = gate_verdict(gate)
    parts = [
        f"# Leaderboard: {escape_markdown(model.name)}, {escape_markdown(dataset.name)}, preset {result.preset}",
        f"{dataset.n} cases, {provenance.started}, photoguard-eval {provenance.package_version}; "
        f"`{provenance.command}`",
        f"**{verdict.headline}** {' '.join(verdict.details)}",
    ]
    parts += [f"Stopped: {failure.attack} ({failure.editor}): {failure.error}" for failure in gate.failures]
    for editor in result.editors:
        text = editor_text(editor)
        parts.append(f"## {text.title}\n\n{text.explanation}")
        parts += [render_markdown(table) for table in editor_tables(result, editor, paper_rows=paper_rows)]
        claims = claims_table(result, gate, editor)
        parts += [render_markdown(claims)] if claims.rows else []
    parts.append(f"## Figure 7: similarity of edit and prompt\n\n![Figure 7]({figure})")
    parts += [render_markdown(claims_summary(gate), "##")] if gate.claims else []
    broken = failed_thresholds(gate)
    parts += [render_markdown(thresholds_table(result, broken), "##")] if broken else []
    return "\n\n".join(parts) + "\n"
