"""Figure 7: how similar edits are to their prompts, with and without immunization."""

from __future__ import annotations

import io
import itertools
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from photoguard_eval.analysis.rows import with_references
from photoguard_eval.reports.naming import editor_text, row_titles, short_title
from photoguard_eval.results.rows import ResultRow, Summary
from photoguard_eval.results.schema import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PROMPT_METRIC = "clip_similarity"

COLOURS = ("#7f7f7f", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#d55e00")
"""Okabe and Ito's palette, which people with colour-blindness can tell apart; gray for no immunization."""

REROLL_COLOUR = "#bdbdbd"
"""A lighter gray, for unprotected images that were edited with another seed."""

INK = "#1c1e21"
"""Colour of text and lines; on the page it becomes the text's own, so that the figure is legible in dark mode."""

DOTS_PER_INCH = 150
PANEL_INCHES = (4.4, 3.4)
BAR_INCHES = 0.8
"""Width of a bar and its label; a panel of some attacks is wider than `PANEL_INCHES`."""

MOST_UPRIGHT = 10
"""Bars that stand side by side; more of them lie one below the other, each with its label in a line."""

LYING_BAR_INCHES = 0.22
LYING_PANEL_INCHES = 6.5

HEADROOM = 1.12
"""Height of the axis over the tallest error bar, so that values can stand above it."""


def figure_rows(result: EvaluationResult, editor: str) -> tuple[ResultRow, ...]:
    """Return what the figure shows of an editor: no immunization and the re-roll first, then every attack."""
    return tuple(row for row in with_references(result, editor) if PROMPT_METRIC in row.metrics)


def figure_editors(result: EvaluationResult) -> tuple[str, ...]:
    """Return the editors that the figure has a panel for: those whose edits were compared with their prompts."""
    return tuple(editor for editor in result.editors if figure_rows(result, editor))


def figure_7(result: EvaluationResult, editors: Sequence[str]) -> Figure:
    """Draw the mean CLIP similarity of edits and prompts; error bars are the interquartile range over the cases.

    Args:
        result: The result of an evaluation.
        editors: Editors to draw, at least one of `figure_editors`.

    Returns:
        One panel per editor. All panels of a result are on the same scale, also when they are drawn apart.
    """
    from matplotlib.figure import Figure

    width, height = PANEL_INCHES
    bars = max(len(figure_rows(result, editor)) for editor in editors)
    upright = bars <= MOST_UPRIGHT
    panel_width = max(width, BAR_INCHES * bars) if upright else LYING_PANEL_INCHES
    size = (panel_width * len(editors), height if upright else max(height, LYING_BAR_INCHES * bars))
    figure = Figure(figsize=size, layout="constrained")
    for panel, editor in zip(figure.subplots(1, len(editors), squeeze=False)[0], editors, strict=True):
        _draw_panel(panel, result, editor, upright)
        (panel.set_ylim if upright else panel.set_xlim)(*_limits(result))
    return figure


def figure_svg(figure: Figure, prefix: str = "figure") -> str:
    """Return a figure as an SVG element with text as text, the same for the same data.

    Args:
        figure: The figure.
        prefix: Stands before every identifier, so that several figures can stand in one page.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    svg = re.sub(r'\b(id="|href="#)', rf"\g<1>{prefix}-", svg).replace("url(#", f"url(#{prefix}-")
    # matplotlib names the fonts of its own distribution; a page has its own.
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    return svg.replace(INK, "currentColor").strip()


def figure_png(figure: Figure) -> bytes:
    """Return a figure as PNG on white, for files."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def describe_figure(result: EvaluationResult, editor: str) -> str:
    """Say in words what the panel of an editor shows, for people who cannot see it."""
    rows = figure_rows(result, editor)
    values = ", ".join(
        f"{short_title(title)} {row.metrics[PROMPT_METRIC].mean:.3f}"
        for title, row in zip(row_titles(rows), rows, strict=True)
    )
    return f"Mean CLIP similarity of edit and prompt under {editor_text(editor).title}: {values}."


def _limits(result: EvaluationResult) -> tuple[float, float]:
    """Return a scale that starts at zero, unless a value is below it, and holds every bar and error bar."""
    summaries = [row.metrics[PROMPT_METRIC] for editor in figure_editors(result) for row in figure_rows(result, editor)]
    ends = [end for summary in summaries for end in (summary.mean, *_interquartile_range(summary))]
    return min(0.0, *ends) * HEADROOM, max(0.0, *ends) * HEADROOM


def _colours(rows: Sequence[ResultRow]) -> list[str]:
    """Give unprotected images a gray, and each attack the next colour."""
    attacks = itertools.cycle(COLOURS[1:])
    return [next(attacks) if row.attack else REROLL_COLOUR if row.rerolled else COLOURS[0] for row in rows]


def _interquartile_range(summary: Summary) -> tuple[float, float]:
    """Return the quartiles; the mean twice where a result has none."""
    first, third = summary.first_quartile, summary.third_quartile
    return (summary.mean if first is None else first, summary.mean if third is None else third)


def _draw_panel(panel: Axes, result: EvaluationResult, editor: str, upright: bool) -> None:
    rows = figure_rows(result, editor)
    summaries = [row.metrics[PROMPT_METRIC] for row in rows]
    positions = list(range(len(rows)))
    means = [summary.mean for summary in summaries]
    colours = _colours(rows)
    quartiles = [_interquartile_range(summary) for summary in summaries]
    # Centred between the quartiles, since the mean of skewed values may lie outside of them.
    centres = [(first + third) / 2 for first, third in quartiles]
    ranges = [(third - first) / 2 for first, third in quartiles]
    whiskers: dict[str, Any] = {"fmt": "none", "ecolor": INK, "elinewidth": 1.2, "capsize": 4 if upright else 2}
    if upright:
        panel.bar(positions, means, color=colours, width=0.7)
        panel.errorbar(positions, centres, yerr=ranges, **whiskers)
    else:
        panel.barh(positions, means, color=colours, height=0.7)
        panel.errorbar(centres, positions, xerr=ranges, **whiskers)
        panel.set_ylim(len(rows) - 0.5, -0.5)
    for position, mean, (_, third) in zip(positions, means, quartiles, strict=True):
        end = max(mean, third, 0.0)
        panel.annotate(
            f"{mean:.3f}",
            (position, end) if upright else (end, position),
            (0, 3) if upright else (4, 0),
            textcoords="offset points",
            ha="center" if upright else "left",
            va="bottom" if upright else "center",
            color=INK,
            fontsize=9 if upright else 7,
        )
    names = [short_title(title) for title in row_titles(rows)]
    _label_panel(panel, names, f"{editor_text(editor).title}, n = {rows[0].n}", upright)


def _label_panel(panel: Axes, names: Sequence[str], title: str, upright: bool) -> None:
    # Names come from plug-ins: a dollar sign in one is no formula.
    if upright:
        labels = ["\n".join(textwrap.wrap(name, 11, break_long_words=False)) for name in names]
        panel.set_xticks(range(len(names)), labels, fontsize=9, color=INK, parse_math=False)
        panel.set_ylabel("CLIP similarity to the prompt", fontsize=9, color=INK)
    else:
        panel.set_yticks(range(len(names)), list(names), fontsize=7, color=INK, parse_math=False)
        panel.set_xlabel("CLIP similarity to the prompt", fontsize=9, color=INK)
    panel.set_title(title, fontsize=10, color=INK, parse_math=False)
    panel.tick_params(axis="both", color=INK, labelcolor=INK, labelsize=9 if upright else 7)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(INK)
