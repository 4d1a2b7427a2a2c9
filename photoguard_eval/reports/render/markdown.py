"""Prints a document as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import assert_never
from urllib.parse import quote

from photoguard_eval.reports.cells import Cell, Row, Table
from photoguard_eval.reports.document import (
    Block,
    Document,
    Facts,
    Figure,
    Figures,
    Gallery,
    Heading,
    Text,
    Verdict,
)

_SPECIAL = re.compile(r"([\\|`*_<>\[\]])")


def render_document(document: Document, file_of: Callable[[Figure], str]) -> str:
    """Print a document.

    Args:
        document: The document.
        file_of: Returns the name of the file that a figure is in, beside the report.
    """
    parts = [f"# {escape(document.title)}"] if document.title else []
    for block in document.head:
        parts += _rendered(block, "##", file_of)
    for section in document.sections:
        parts += [f"## {escape(section.title)}"] if section.title else []
        for block in section.blocks:
            parts += _rendered(block, "###" if section.title else "##", file_of)
    return "\n\n".join(parts) + "\n"


def render_table(table: Table, heading: str = "###") -> str:
    """Print a table with its title as a heading and its notes as paragraphs."""
    from tabulate import tabulate

    rows = [[_cell(cell, row) for cell in row.cells] for row in table.rows]
    header = [escape(column.label) for column in table.header]
    alignment = tuple("right" if column.numeric else "left" for column in table.header)
    grid = tabulate(rows, header, tablefmt="pipe", disable_numparse=True, colalign=alignment)
    return "\n\n".join([f"{heading} {escape(table.title)}", grid, *map(escape, table.notes)])


def escape(text: str) -> str:
    """Escape what Markdown would read as markup, and put the text on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _rendered(block: Block, heading: str, file_of: Callable[[Figure], str]) -> Iterator[str]:
    match block:
        case Table():
            yield render_table(block, heading)
        case Text():
            yield escape(block.plain)
        case Heading():
            yield f"{heading} {escape(block.text)}"
        case Facts():
            yield "\n".join(f"- {escape(name)}: {escape(text)}" for name, text in block.entries)
        case Figures():
            yield from (f"![{escape(figure.description)}]({quote(file_of(figure))})" for figure in block.figures)
        case Gallery():
            yield f"Pictures of {len(block.images)} images are on the page."
        case Verdict():
            yield f"**{escape(block.headline)}** {escape(' '.join(block.details))}"
            yield from map(escape, block.stopped)
        case _:
            assert_never(block)


def _cell(cell: Cell, row: Row) -> str:
    text = escape(cell.text)
    if cell.verdict:
        text = f"{text} {cell.verdict}"
    if cell.best:
        return f"**{text}**"
    return f"*{text}*" if row.from_paper and cell is row.cells[0] else text
