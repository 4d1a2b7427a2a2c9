"""Writes the report of a result: Markdown, the page, and figures as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.files import remove_stale_temporaries, write_atomically
from photoguard_eval.reports.contact_sheet import contact_sheet, sheet_rows
from photoguard_eval.reports.figures import figure_7, figure_editors, figure_png
from photoguard_eval.reports.markdown import markdown_report
from photoguard_eval.reports.naming import file_stem
from photoguard_eval.reports.page import render_page
from photoguard_eval.reports.pictures import ReportImages
from photoguard_eval.reports.tradeoff import families, tradeoff_figure
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult


@dataclass(frozen=True)
class ReportPaths:
    """Where a report was written.

    Attributes:
        markdown: The tables as Markdown.
        html: The page.
        figure: Figure 7 as PNG; None if no edit was compared with its prompt.
        tradeoffs: Protection against visibility as PNG, by editor.
        sheets: Some images and their edits as PNG, by editor.
    """

    markdown: Path
    html: Path
    figure: Path | None
    tradeoffs: Mapping[str, Path]
    sheets: Mapping[str, Path]


def write_reports(
    result: EvaluationResult, gate: GateReport, folder: Path, images: ReportImages, *, paper_rows: bool = False
) -> ReportPaths:
    """Write a result's report; everything is made before anything is written.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        folder: Where to write.
        images: Where pictures come from.
        paper_rows: Whether the paper's own rows stand beside the measured ones; see `editor_tables`.

    Raises:
        StoreError: If a picture is missing or the folder cannot be written.
    """
    stem = file_stem(result)
    editors = figure_editors(result)
    figure = folder / f"{stem}-figure-7.png" if editors else None
    tradeoffs = {
        editor: folder / f"{stem}-tradeoff-{editor}.png" for editor in result.editors if families(result, editor)
    }
    sheets = {editor: folder / f"{stem}-edits-{editor}.png" for editor in result.editors if sheet_rows(result, editor)}
    paths = ReportPaths(folder / f"{stem}.md", folder / f"{stem}.html", figure, tradeoffs, sheets)
    page = render_page(result, gate, images, paper_rows=paper_rows)
    markdown = markdown_report(
        result,
        gate,
        figure=figure.name if figure else "",
        tradeoffs={editor: path.name for editor, path in tradeoffs.items()},
        sheets={editor: path.name for editor, path in sheets.items()},
        paper_rows=paper_rows,
    )
    pictures = {path: figure_png(tradeoff_figure(result, editor)) for editor, path in tradeoffs.items()}
    pictures |= {path: figure_png(contact_sheet(result, editor, images)) for editor, path in sheets.items()}
    if figure is not None:
        pictures[figure] = figure_png(figure_7(result, editors))
    remove_stale_temporaries(folder, {path.name for path in (*pictures, paths.markdown, paths.html)})
    for path, picture in pictures.items():
        write_atomically(path, picture)
    write_atomically(paths.markdown, markdown.encode())
    write_atomically(paths.html, page.encode())
    return paths
