"""The leaderboard as one self-contained page: no request leaves it."""

from __future__ import annotations

from dataclasses import dataclass

from photoguard_eval.reports.cells import Table, without_repeated_notes
from photoguard_eval.reports.figures import describe_figure, figure_7, figure_editors, figure_svg
from photoguard_eval.reports.gallery import Gallery, make_gallery
from photoguard_eval.reports.naming import EditorText, editor_text, reroll_notes
from photoguard_eval.reports.pictures import LARGEST_SIDE, PERTURBATION_FACTOR, ReportImages
from photoguard_eval.reports.tables import editor_tables
from photoguard_eval.reports.tradeoff import describe_tradeoff, families, tradeoff_figure
from photoguard_eval.reports.verdicts import (
    claims_summary,
    claims_table,
    failed_thresholds,
    gate_verdict,
    thresholds_table,
)
from photoguard_eval.results.facts import AttackInfo
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult


@dataclass(frozen=True)
class FigurePanel:
    """A figure about one editor: an SVG element, and what it shows in words."""

    svg: str
    description: str


@dataclass(frozen=True)
class EditorView:
    """Everything about one editor."""

    name: str
    text: EditorText
    tables: tuple[Table, ...]
    claims: Table
    panel: FigurePanel | None
    tradeoff: FigurePanel | None
    gallery: Gallery


def render_page(result: EvaluationResult, gate: GateReport, images: ReportImages, *, paper_rows: bool = False) -> str:
    """Render the page.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        images: Where pictures come from.
        paper_rows: Whether the paper's own rows stand beside the measured ones; see `editor_tables`.

    Returns:
        HTML without scripts and without any reference to another file; the same for the same input.

    Raises:
        StoreError: If a picture is missing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("photoguard_eval.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    broken = failed_thresholds(gate)
    editors = _editor_views(result, gate, images, paper_rows)
    return environment.get_template("leaderboard.html.j2").render(
        result=result,
        gate=gate,
        verdict=gate_verdict(gate),
        summary=claims_summary(gate),
        broken=thresholds_table(result, broken) if broken else None,
        editors=editors,
        attacks=_attacks(result),
        reroll_notes=reroll_notes(result.rerolls),
        factor=PERTURBATION_FACTOR,
        largest_side=LARGEST_SIDE,
        libraries=sorted(result.provenance.libraries.items()),
    )


def _editor_views(
    result: EvaluationResult, gate: GateReport, images: ReportImages, paper_rows: bool
) -> list[EditorView]:
    claims = without_repeated_notes([claims_table(result, gate, editor) for editor in result.editors], set())
    return [
        EditorView(
            name=editor,
            text=editor_text(editor),
            tables=editor_tables(result, editor, paper_rows=paper_rows),
            claims=table,
            panel=_panel(result, editor, f"figure-{number}"),
            tradeoff=_tradeoff(result, editor, f"tradeoff-{number}"),
            gallery=make_gallery(result, editor, images),
        )
        for number, (editor, table) in enumerate(zip(result.editors, claims, strict=True))
    ]


def _panel(result: EvaluationResult, editor: str, prefix: str) -> FigurePanel | None:
    if editor not in figure_editors(result):
        return None
    return FigurePanel(figure_svg(figure_7(result, [editor]), prefix), describe_figure(result, editor))


def _tradeoff(result: EvaluationResult, editor: str, prefix: str) -> FigurePanel | None:
    if not families(result, editor):
        return None
    return FigurePanel(figure_svg(tradeoff_figure(result, editor), prefix), describe_tradeoff(result, editor))


def _attacks(result: EvaluationResult) -> tuple[AttackInfo, ...]:
    """Return the attacks, each once for all editors."""
    attacks = {method.attack.label: method.attack for method in result.methods if method.attack is not None}
    return tuple(attacks.values())
