"""Draws protection against what it costs the image: over the budget, and over how much of it can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from photoguard_eval.analysis.rows import attack_rows, by_id
from photoguard_eval.analysis.tradeoff import Family, Tradeoff
from photoguard_eval.reports.figures import COLOURS, INK, PANEL_INCHES
from photoguard_eval.reports.naming import REROLL_TITLE, attack_titles, editor_text, levels_text, short_title
from photoguard_eval.results.schema import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vPX*<>"
"""Colours come round again after six attacks, the markers after ten."""

LEGEND_INCHES = 3.4
LEGEND_LINE_INCHES = 0.17


def tradeoff_figure(result: EvaluationResult, tradeoff: Tradeoff) -> Figure:
    """Draw how similar edits are left, over ε where there are several, and over the similarity of the images.

    Args:
        result: The result of an evaluation.
        tradeoff: What protection costs under one of its editors, with at least one family.
    """
    from matplotlib.figure import Figure

    families = tradeoff.families
    has_budgets = any(len(family.points) > 1 for family in families)
    width, height = PANEL_INCHES
    height = max(height, LEGEND_LINE_INCHES * (2 + len(families)))
    panels = 2 if has_budgets else 1
    figure = Figure(figsize=(width * panels + LEGEND_INCHES, height), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
    titles = _titles(result, tradeoff)
    for panel, over_budget in zip(axes, [True, False][-panels:], strict=True):
        _draw(panel, families, titles, over_budget)
        if tradeoff.reroll is not None:
            # A line across: a re-roll has neither a budget nor an immunized image.
            label = f"{REROLL_TITLE} (another seed)"
            panel.axhline(tradeoff.reroll, color=INK, linestyle="dotted", linewidth=1.2, label=label)
    axes[0].set_ylabel("SSIM of the edits (lower protects better)", fontsize=9, color=INK)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False, labelcolor=INK)
    return figure


def describe_tradeoff(result: EvaluationResult, tradeoff: Tradeoff) -> str:
    """Say in words what the figure shows."""
    parts = []
    for title, family in zip(_titles(result, tradeoff), tradeoff.families, strict=True):
        points = ", ".join(
            f"{levels_text(point.levels)} levels {point.protection:.3f} (image {point.imperceptibility:.3f})"
            for point in family.points
        )
        parts.append(f"{title}: {points}")
    if tradeoff.reroll is not None:
        parts.append(f"{REROLL_TITLE}, the unprotected image edited with another seed: {tradeoff.reroll:.3f}")
    return f"SSIM of edits under {editor_text(tradeoff.editor).title}. {'; '.join(parts)}."


def _titles(result: EvaluationResult, tradeoff: Tradeoff) -> list[str]:
    rows = by_id(attack_rows(result, tradeoff.editor))
    return [short_title(title) for title in attack_titles([rows[family.points[0].id] for family in tradeoff.families])]


def _draw(panel: Axes, families: Sequence[Family], titles: Sequence[str], over_budget: bool) -> None:
    attacks = 0
    for title, family in zip(titles, families, strict=True):
        style: dict[str, Any]
        if family.is_floor:
            style = {"color": COLOURS[0], "marker": ".", "linestyle": "dashed"}
        else:
            colour, marker = COLOURS[1 + attacks % (len(COLOURS) - 1)], MARKERS[attacks % len(MARKERS)]
            style = {"color": colour, "marker": marker, "linestyle": "solid"}
            attacks += 1
        panel.plot(
            [point.levels if over_budget else point.imperceptibility for point in family.points],
            [point.protection for point in family.points],
            markersize=5,
            linewidth=1.2,
            label=title.replace("$", r"\$"),
            **style,
        )
    if over_budget:
        budgets = sorted({point.levels for family in families for point in family.points})
        panel.set_xticks(budgets, [levels_text(budget) for budget in budgets])
        panel.set_xlabel("ε, levels of 255", fontsize=9, color=INK)
    else:
        panel.set_xlabel("SSIM of the immunized image (higher is less visible)", fontsize=9, color=INK)
    panel.tick_params(axis="both", color=INK, labelcolor=INK, labelsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(INK)
