"""The leaderboard as one self-contained page: no request leaves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from photoguard_eval.evaluation.results import CaseInfo, CaseResult, EvaluationResult, GateReport
from photoguard_eval.reports.figures import figure_7, figure_svg
from photoguard_eval.reports.naming import (
    EditorText,
    editor_methods,
    editor_text,
    method_titles,
    short_title,
)
from photoguard_eval.reports.pictures import LARGEST_SIDE, PERTURBATION_FACTOR, ReportImages, data_uri, perturbation_png
from photoguard_eval.reports.tables import Table, editor_tables
from photoguard_eval.reports.verdicts import (
    claims_summary,
    claims_table,
    failed_thresholds,
    gate_verdict,
    thresholds_table,
)

SHOWN_SCORES = ("ssim", "psnr", "clip_similarity")
"""Scores under each edit."""


@dataclass(frozen=True)
class Picture:
    """A picture with its caption and what it shows, for people who cannot see it."""

    caption: str
    description: str
    uri: str
    scores: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseView:
    """One edit of an image: the original's, and that of each immunized version."""

    id: str
    prompt: str
    seed: int
    edits: tuple[Picture, ...]


@dataclass(frozen=True)
class ImageView:
    """An image under one editor: itself, its mask, its immunized versions, and its edits.

    The immunized versions stand once for all prompts, except under an attack that sees the prompt.
    """

    name: str
    sources: tuple[Picture, ...]
    cases: tuple[CaseView, ...]


@dataclass(frozen=True)
class EditorView:
    """Everything about one editor."""

    name: str
    text: EditorText
    tables: tuple[Table, ...]
    claims: Table
    images: tuple[ImageView, ...]


def render_page(result: EvaluationResult, gate: GateReport, images: ReportImages, paper_rows: bool) -> str:
    """Render the page.

    Args:
        result: The result of an evaluation.
        gate: What the gate found.
        images: Where pictures come from.
        paper_rows: Whether the paper's own rows stand beside the measured ones.
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
    return environment.get_template("leaderboard.html.j2").render(
        result=result,
        gate=gate,
        verdict=gate_verdict(gate),
        summary=claims_summary(gate),
        broken=thresholds_table(result, broken) if broken else None,
        figure=figure_svg(figure_7(result)),
        editors=[_editor_view(result, gate, editor, images, paper_rows) for editor in result.editors],
        factor=PERTURBATION_FACTOR,
        largest_side=LARGEST_SIDE,
        libraries=sorted(result.provenance.libraries.items()),
    )


def _editor_view(
    result: EvaluationResult, gate: GateReport, editor: str, images: ReportImages, paper_rows: bool
) -> EditorView:
    return EditorView(
        name=editor,
        text=editor_text(editor),
        tables=editor_tables(result, editor, paper_rows=paper_rows),
        claims=claims_table(result, gate, editor),
        images=tuple(_image_views(result, editor, images)),
    )


def _image_views(result: EvaluationResult, editor: str, images: ReportImages) -> Iterator[ImageView]:
    by_image: dict[str, list[int]] = {}
    for index, case in enumerate(result.cases):
        by_image.setdefault(case.image_id, []).append(index)
    for name, indices in by_image.items():
        yield ImageView(
            name,
            tuple(_sources(result, editor, indices, images)),
            tuple(_case_view(result, editor, index, images) for index in indices),
        )


def _sources(result: EvaluationResult, editor: str, indices: list[int], images: ReportImages) -> Iterator[Picture]:
    case = result.cases[indices[0]]
    original = images.case_image(case)
    yield Picture("Original", f"the original {case.image_id}", data_uri(original))
    if editor_text(editor).uses_mask:
        yield Picture("Mask (white is edited)", f"the mask of {case.image_id}", data_uri(images.case_mask(case)))
    methods = editor_methods(result, editor)
    for method, title in zip(methods, method_titles(methods), strict=True):
        shown: set[str] = set()
        for index in indices:
            row = method.cases[index]
            if row.immunized in shown:
                continue
            shown.add(row.immunized)
            immunized = images.artifact(row.immunized)
            name = short_title(title)
            size = (f"≤ {row.linf_levels:.0f} levels", f"RMS {row.rms_levels:.1f}")
            yield Picture(f"{name}: immunized", f"{case.image_id} immunized by {name}", data_uri(immunized), size)
            added = data_uri(perturbation_png(original, immunized))
            yield Picture(f"{name}: perturbation ×{PERTURBATION_FACTOR}", f"what {name} added", added)


def _case_view(result: EvaluationResult, editor: str, index: int, images: ReportImages) -> CaseView:
    case = result.cases[index]
    original = result.original(editor)
    edits = []
    if original is not None:
        edits.append(_edit("Edit of the original", case, original.cases[index], images))
    methods = editor_methods(result, editor)
    for method, title in zip(methods, method_titles(methods), strict=True):
        edits.append(_edit(short_title(title), case, method.cases[index], images))
    return CaseView(case.id, case.prompt, case.seed[editor], tuple(edits))


def _edit(name: str, case: CaseInfo, row: CaseResult, images: ReportImages) -> Picture:
    labels = {"ssim": "SSIM {:.2f}", "psnr": "PSNR {:.1f}", "clip_similarity": "CLIP {:.2f}"}
    scores = tuple(labels[metric].format(row.scores[metric]) for metric in SHOWN_SCORES if metric in row.scores)
    return Picture(name, f"{name}: {case.prompt}", data_uri(images.artifact(row.edit)), scores)
