"""Figures: how edits follow their prompts, and what protection costs the image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from photoguard_eval.analysis.tradeoff import Tradeoff
from photoguard_eval.reports.document import Block, Figure, Figures, Heading, Section, Text
from photoguard_eval.reports.figures import describe_figure, figure_7, figure_editors
from photoguard_eval.reports.naming import editor_text
from photoguard_eval.reports.tradeoff import describe_tradeoff, tradeoff_figure
from photoguard_eval.reports.views.subject import Subject


def figure_7_whole(subject: Subject) -> Iterator[Section]:
    """Draw Figure 7 with a panel for each editor."""
    editors = figure_editors(subject.result)
    if editors:
        figure = Figure(
            "figure-7", "Mean CLIP similarity of edits and prompts", partial(figure_7, subject.result, editors)
        )
        text = Text(("Bars are means, error bars the interquartile range over the cases.",))
        yield Section("Figure 7: similarity of edit and prompt", "figure-7", (text, Figures((figure,))))


def figure_7_by_editor(subject: Subject) -> Iterator[Section]:
    """Draw Figure 7 as a figure for each editor."""
    reading = "Bars are means over n cases, error bars the interquartile range. A lower bar is a better protection."
    shown = figure_editors(subject.result)
    figures = tuple(
        Figure(f"figure-{place}", describe_figure(subject.result, editor), partial(figure_7, subject.result, [editor]))
        for place, editor in enumerate(subject.result.editors)
        if editor in shown
    )
    block = Figures(figures) if figures else Text(("No edit was compared with its prompt.",))
    yield Section(
        "Figure 7: does the edit still follow the prompt?", "figure-7", (Text((reading,)), block), entry="Figure 7"
    )


def tradeoff_of_each(subject: Subject) -> Iterator[Section]:
    """Draw in a section for each editor what protection costs the image."""
    for editor, tradeoff in _drawn(subject).items():
        title = editor_text(editor).title
        figure = Figure(
            f"tradeoff-{editor}",
            f"SSIM of the edits over the visibility of the perturbation, {title}",
            partial(tradeoff_figure, subject.result, tradeoff),
        )
        yield Section(f"What protection costs the image: {title}", f"tradeoff-{editor}", (Figures((figure,)),))


def tradeoff_of_all(subject: Subject) -> Iterator[Section]:
    """Draw in one section what protection costs the image."""
    blocks: list[Block] = [
        Text(
            (
                "One line per attack, one point per budget. Low and to the right is best: the edits are unlike those "
                "of the original, and the immunized image looks like it.",
            )
        )
    ]
    drawn = _drawn(subject)
    for place, editor in enumerate(subject.result.editors):
        if editor in drawn:
            figure = Figure(
                f"tradeoff-{place}",
                describe_tradeoff(subject.result, drawn[editor]),
                partial(tradeoff_figure, subject.result, drawn[editor]),
            )
            blocks += [Heading(editor_text(editor).title), Figures((figure,))]
    if not drawn:
        blocks.append(Text(("No attack was measured.",)))
    yield Section("What does protection cost the image?", "tradeoff", tuple(blocks), entry="Protection and visibility")


def _drawn(subject: Subject) -> dict[str, Tradeoff]:
    """Return by editor what there is to draw."""
    return {editor: found for editor, found in subject.findings.tradeoffs.items() if found.families}
