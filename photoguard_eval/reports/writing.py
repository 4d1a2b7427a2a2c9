"""Writes the report of a result: Markdown, the page, and figures as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.files import remove_stale_temporaries, write_atomically
from photoguard_eval.reports.document import Figure
from photoguard_eval.reports.figures import figure_png
from photoguard_eval.reports.naming import file_stem
from photoguard_eval.reports.pictures import ReportImages
from photoguard_eval.reports.render import markdown, page
from photoguard_eval.reports.views import markdown_document, page_document
from photoguard_eval.reports.views.subject import subject_of
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult


@dataclass(frozen=True)
class ReportPaths:
    """Where a report was written.

    Attributes:
        markdown: The tables as Markdown.
        html: The page.
        figures: The Markdown's figures as PNG, by their names.
    """

    markdown: Path
    html: Path
    figures: Mapping[str, Path]


def write_reports(
    result: EvaluationResult, gate: GateReport, folder: Path, images: ReportImages, *, paper_rows: bool = False
) -> ReportPaths:
    """Write a result's report; everything is made before anything is written.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        folder: Where to write.
        images: Where pictures come from.
        paper_rows: Whether the paper's own rows stand beside the measured ones; see `Subject`.

    Raises:
        StoreError: If a picture is missing or the folder cannot be written.
    """
    stem = file_stem(result)
    subject = subject_of(result, gate, images, paper_rows=paper_rows)
    document = markdown_document(subject)

    def path_of(figure: Figure) -> Path:
        return folder / f"{stem}-{figure.name}.png"

    paths = ReportPaths(
        folder / f"{stem}.md", folder / f"{stem}.html", {figure.name: path_of(figure) for figure in document.figures}
    )
    html = page.render_document(page_document(subject))
    text = markdown.render_document(document, lambda figure: path_of(figure).name)
    pictures = {path_of(figure): figure_png(figure.draw()) for figure in document.figures}
    remove_stale_temporaries(folder, {path.name for path in (*pictures, paths.markdown, paths.html)})
    for path, picture in pictures.items():
        write_atomically(path, picture)
    write_atomically(paths.markdown, text.encode())
    write_atomically(paths.html, html.encode())
    return paths
