"""Protection against what it costs the image: over the budget, and over how much of the perturbation can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from photoguard_eval.reports.figures import COLOURS, INK, PANEL_INCHES
from photoguard_eval.reports.naming import (
    PROTECTION,
    REROLL_TITLE,
    editor_methods,
    editor_text,
    label_without_budget,
    levels_of,
    levels_text,
    method_titles,
    short_title,
    without_epsilon,
)
from photoguard_eval.results.rows import MethodResult
from photoguard_eval.results.schema import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMPERCEPTIBILITY = "immunized_ssim"

MARKERS = "osD^vPX*<>"
"""Colours come round again after six attacks, the markers after ten."""

LEGEND_INCHES = 3.4
LEGEND_LINE_INCHES = 0.17


@dataclass(frozen=True)
class Family:
    """An attack with the same arguments but for its budget.

    Attributes:
        title: What it is called.
        rows: Its rows, from the smallest budget to the largest.
    """

    title: str
    rows: tuple[MethodResult, ...]


def families(result: EvaluationResult, editor: str) -> tuple[Family, ...]:
    """Group an editor's rows by attack, for those whose images and edits were both measured."""
    methods = [
        method
        for method in editor_methods(result, editor)
        if method.attack is not None and {PROTECTION, IMPERCEPTIBILITY} <= set(method.metrics)
    ]
    groups: dict[str, list[MethodResult]] = {}
    for method in methods:
        groups.setdefault(label_without_budget(method), []).append(method)
    representatives = [rows[0] for rows in groups.values()]
    titles = [without_epsilon(short_title(title)) for title in method_titles(representatives)]
    return tuple(
        Family(title, tuple(sorted(rows, key=levels_of))) for title, rows in zip(titles, groups.values(), strict=True)
    )


def tradeoff_figure(result: EvaluationResult, editor: str) -> Figure:
    """Draw how similar edits are left, over ε where there are several, and over the similarity of the images.

    Args:
        result: The result of an evaluation.
        editor: An editor with `families`.
    """
    from matplotlib.figure import Figure

    groups = families(result, editor)
    has_budgets = any(len(family.rows) > 1 for family in groups)
    width, height = PANEL_INCHES
    height = max(height, LEGEND_LINE_INCHES * (2 + len(groups)))
    panels = 2 if has_budgets else 1
    figure = Figure(figsize=(width * panels + LEGEND_INCHES, height), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
    for panel, of_budget in zip(axes, [True, False][-panels:], strict=True):
        _draw(panel, groups, of_budget)
        _draw_reroll(panel, result, editor)
    axes[0].set_ylabel("SSIM of the edits (lower protects better)", fontsize=9, color=INK)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False, labelcolor=INK)
    return figure


def describe_tradeoff(result: EvaluationResult, editor: str) -> str:
    """Say in words what the figure shows of an editor."""
    parts = []
    for family in families(result, editor):
        points = ", ".join(
            f"{levels_text(levels_of(row))} levels {row.metrics[PROTECTION].mean:.3f} "
            f"(image {row.metrics[IMPERCEPTIBILITY].mean:.3f})"
            for row in family.rows
        )
        parts.append(f"{family.title}: {points}")
    reroll = _reroll_protection(result, editor)
    if reroll is not None:
        parts.append(f"{REROLL_TITLE}, the unprotected image edited with another seed: {reroll:.3f}")
    return f"SSIM of edits under {editor_text(editor).title}. {'; '.join(parts)}."


def _reroll_protection(result: EvaluationResult, editor: str) -> float | None:
    reroll = result.reroll(editor)
    summary = reroll.metrics.get(PROTECTION) if reroll is not None else None
    return None if summary is None else summary.mean


def _draw_reroll(panel: Axes, result: EvaluationResult, editor: str) -> None:
    """Draw how similar another seed leaves an edit, as a line across: it has neither budget nor immunized image."""
    reroll = _reroll_protection(result, editor)
    if reroll is not None:
        panel.axhline(reroll, color=INK, linestyle="dotted", linewidth=1.2, label=f"{REROLL_TITLE} (another seed)")


def _draw(panel: Axes, groups: Sequence[Family], of_budget: bool) -> None:
    attacks = 0
    for family in groups:
        style: dict[str, Any]
        if _is_floor(family):
            style = {"color": COLOURS[0], "marker": ".", "linestyle": "dashed"}
        else:
            colour, marker = COLOURS[1 + attacks % (len(COLOURS) - 1)], MARKERS[attacks % len(MARKERS)]
            style = {"color": colour, "marker": marker, "linestyle": "solid"}
            attacks += 1
        panel.plot(
            [levels_of(row) if of_budget else row.metrics[IMPERCEPTIBILITY].mean for row in family.rows],
            [row.metrics[PROTECTION].mean for row in family.rows],
            markersize=5,
            linewidth=1.2,
            label=family.title.replace("$", r"\$"),
            **style,
        )
    if of_budget:
        budgets = sorted({levels_of(row) for family in groups for row in family.rows})
        panel.set_xticks(budgets, [levels_text(budget) for budget in budgets])
        panel.set_xlabel("ε, levels of 255", fontsize=9, color=INK)
    else:
        panel.set_xlabel("SSIM of the immunized image (higher is less visible)", fontsize=9, color=INK)
    panel.tick_params(axis="both", color=INK, labelcolor=INK, labelsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(INK)


def _is_floor(family: Family) -> bool:
    """Tell whether an attack uses no model, as random noise does; it is drawn in gray."""
    attack = family.rows[0].attack
    return attack is not None and not attack.threat_model.sees_model
