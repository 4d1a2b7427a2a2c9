"""Everything that is measured under one editor, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from photoguard_eval.analysis.rows import attack_rows
from photoguard_eval.reports.cells import Table, without_repeated_notes
from photoguard_eval.reports.document import Block, Figures, Heading, Section, Text
from photoguard_eval.reports.naming import editor_text
from photoguard_eval.reports.views.claims import claims_tables
from photoguard_eval.reports.views.cost import cost_table
from photoguard_eval.reports.views.imperceptibility import imperceptibility_table
from photoguard_eval.reports.views.pictures import sheet_figure
from photoguard_eval.reports.views.prompt import prompt_table
from photoguard_eval.reports.views.ranking import editor_rankings
from photoguard_eval.reports.views.similarity import similarity_tables
from photoguard_eval.reports.views.subject import Subject

TABLES: tuple[Callable[[Subject, str], Iterable[Table]], ...] = (
    editor_rankings,
    similarity_tables,
    prompt_table,
    imperceptibility_table,
    cost_table,
)
"""The tables of an editor, in their order; one that would be empty is left out."""

SHEET = (
    "Some cases, spread over the dataset whatever their scores: each image as it is published, and beside it the edit "
    "that is made of it."
)


def editor_tables(subject: Subject, editor: str) -> tuple[Table, ...]:
    """Return the tables of one editor; none where all of its attacks were stopped."""
    if not attack_rows(subject.result, editor):
        return ()
    tables = [table for make in TABLES for table in make(subject, editor)]
    shown = [table for table in tables if len(table.header) > 1 and table.rows]
    return tuple(without_repeated_notes(shown, set()))


def measured(subject: Subject) -> Iterator[Section]:
    """Show under each editor what was measured."""
    for editor in subject.result.editors:
        text = editor_text(editor)
        yield Section(text.title, editor, (Text((text.explanation,)), *editor_tables(subject, editor)), text.title)


def measured_and_claimed(subject: Subject) -> Iterator[Section]:
    """Show under each editor what was measured, and what the paper claims of it."""
    claims = claims_tables(subject)
    for editor in subject.result.editors:
        own = [claims[editor]] if editor in claims else []
        yield Section(f"{editor_text(editor).title} ({editor})", editor, (*editor_tables(subject, editor), *own))


def measured_claimed_and_pictured(subject: Subject) -> Iterator[Section]:
    """Show under each editor what was measured, what the paper claims of it, and some images with their edits."""
    claims = claims_tables(subject)
    for section in measured(subject):
        own: list[Block] = [claims[section.anchor]] if section.anchor in claims else []
        figure = sheet_figure(subject, section.anchor)
        if figure is not None:
            own += [Heading("Pictures"), Text((SHEET,)), Figures((figure,))]
        yield Section(section.title, section.anchor, (*section.blocks, *own))
