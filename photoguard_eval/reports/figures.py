"""Figure 7: how similar edits are to their prompts, with and without immunization."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from photoguard_eval.evaluation.results import EvaluationResult, MethodResult
from photoguard_eval.reports.naming import editor_methods, editor_text, method_titles, short_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROMPT_METRIC = "clip_similarity"

COLOURS = ("#4d4d4d", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#f0e442")
"""Okabe and Ito's palette, which people with colour-blindness can tell apart; gray for no immunization."""

PANEL_INCHES = (4.2, 3.2)


def figure_rows(result: EvaluationResult, editor: str) -> tuple[MethodResult, ...]:
    """Return what the figure shows of an editor: no immunization first, then every attack."""
    original = result.original(editor)
    rows = (() if original is None else (original,)) + editor_methods(result, editor)
    return tuple(row for row in rows if PROMPT_METRIC in row.metrics)


def figure_7(result: EvaluationResult) -> Figure:
    """Draw the mean CLIP similarity of edits and prompts; error bars are the interquartile range over the cases.

    Args:
        result: The result of an evaluation.

    Returns:
        One panel per editor, on a common scale.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    editors = [editor for editor in result.editors if figure_rows(result, editor)]
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * max(1, len(editors)), height), layout="constrained")
    FigureCanvasAgg(figure)
    for panel, editor in zip(
        figure.subplots(1, max(1, len(editors)), sharey=True, squeeze=False)[0], editors, strict=False
    ):
        _draw_panel(panel, result, editor)
    return figure


def figure_svg(figure: Figure) -> str:
    """Return a figure as SVG with text as text, the same for the same data."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "figure-7"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def figure_png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _draw_panel(panel: Any, result: EvaluationResult, editor: str) -> None:
    rows = figure_rows(result, editor)
    summaries = [row.metrics[PROMPT_METRIC] for row in rows]
    means = [summary.mean for summary in summaries]
    positions = range(len(rows))
    panel.bar(positions, means, color=[COLOURS[index % len(COLOURS)] for index in positions], width=0.7)
    for position, summary in zip(positions, summaries, strict=True):
        if summary.first_quartile is not None and summary.third_quartile is not None:
            panel.plot([position] * 2, [summary.first_quartile, summary.third_quartile], color="black", linewidth=1.5)
            for end in (summary.first_quartile, summary.third_quartile):
                panel.plot([position - 0.08, position + 0.08], [end] * 2, color="black", linewidth=1.5)
        panel.annotate(
            f"{summary.mean:.3f}",
            (position, 0),
            (0, 4),
            textcoords="offset points",
            ha="center",
            color="white",
            fontsize=8,
        )
    panel.set_xticks(list(positions), [_wrapped(short_title(title)) for title in method_titles(rows)], fontsize=8)
    panel.set_ylabel("CLIP similarity of edit and prompt", fontsize=9)
    panel.set_title(f"{editor_text(editor).title}, n = {rows[0].n}", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)


def _wrapped(title: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(title, 12))
