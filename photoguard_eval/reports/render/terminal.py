"""Prints a document for a terminal."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable
from typing import assert_never

from photoguard_eval.reports.cells import Cell, Row, Table, without_repeated_notes
from photoguard_eval.reports.document import Block, Document, Facts, Figures, Gallery, Heading, Text, Verdict

NAME_WIDTHS = (60, 44, 36, 30, 26, 22, 18)
"""Widths that the first column is wrapped to, tried in this order until a table fits."""

HEADING_WIDTH = 17
"""Width that the headings of the other columns are wrapped to."""

DEFAULT_WIDTH = 120
"""Columns where there is no terminal, as in a file or a pipe."""

LEAST_WIDTH = 60
"""Columns that a table is given at least: below, names and numbers have no room beside each other."""

_BOLD = "\x1b[1m{}\x1b[0m"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def terminal_width() -> int:
    """Return the columns of the terminal, or what the environment variable COLUMNS says."""
    return max(LEAST_WIDTH, shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns)


def render_document(document: Document, *, bold: bool = False, width: int = DEFAULT_WIDTH) -> str:
    """Print a document; a note stands under the first table that has it alone.

    Args:
        document: The document.
        bold: Whether to use ANSI codes; only where the output is a terminal.
        width: Columns of the terminal; no line is longer.
    """
    parts = [document.title] if document.title else []
    seen: set[str] = set()
    parts += _rendered(document.head, seen, bold, width)
    for section in document.sections:
        parts += [f"── {section.title} ".ljust(width, "─")] if section.title else []
        parts += _rendered(section.blocks, seen, bold, width)
    return "\n\n".join(parts) + "\n"


def render_blocks(blocks: Iterable[Block], *, bold: bool = False, width: int = DEFAULT_WIDTH) -> str:
    """Print some blocks without a document around them; see `render_document`."""
    return "\n\n".join(_rendered(blocks, set(), bold, width))


def _rendered(blocks: Iterable[Block], seen: set[str], bold: bool, width: int) -> list[str]:
    """Print blocks; the notes in `seen` were printed before, and those of these blocks are added."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case Table():
                (table,) = without_repeated_notes([block], seen)
                parts.append(render_table(table, bold=bold, width=width))
            case Text():
                parts.append(textwrap.fill(block.plain, width))
            case Heading():
                parts.append(_BOLD.format(block.text) if bold else block.text)
            case Facts():
                parts.append("\n".join(textwrap.fill(f"{name}: {text}", width) for name, text in block.entries))
            case Figures():
                parts += [textwrap.fill(figure.description, width) for figure in block.figures]
            case Gallery():
                parts.append(textwrap.fill(f"Pictures of {len(block.images)} images are on the page.", width))
            case Verdict():
                parts += [textwrap.fill(text, width) for text in block.stopped]
                parts.append("\n".join(textwrap.fill(text, width) for text in (*block.details, block.headline)))
            case _:
                assert_never(block)
    return parts


def render_table(table: Table, *, bold: bool, width: int = DEFAULT_WIDTH) -> str:
    """Print a table so that no line is longer than the terminal.

    A table that is too wide has its first column wrapped, and if that does not help its columns split into several
    blocks, each with the first column.

    Args:
        table: The table.
        bold: Whether to print best values bold by ANSI codes; only where the output is a terminal.
        width: Columns of the terminal.

    Returns:
        Title, table and notes, without a final newline.
    """
    title = textwrap.fill(table.title, width)
    title = _BOLD.format(title) if bold else title
    notes = [textwrap.fill(note, width) for note in table.notes]
    return "\n".join([title, *_parts(table, bold, width), *notes])


def _parts(table: Table, bold: bool, width: int) -> list[str]:
    for name_width in NAME_WIDTHS:
        grid = _grid(table, bold, name_width)
        if max(len(_ANSI.sub("", line)) for line in grid.splitlines()) <= width:
            return [grid]
    columns = len(table.header)
    if columns <= 2:
        return [grid]
    middle = (columns + 1) // 2
    first, second = (range(1, middle), range(middle, columns))
    return [*_parts(_columns(table, first), bold, width), "", *_parts(_columns(table, second), bold, width)]


def _columns(table: Table, indices: range) -> Table:
    chosen = (0, *indices)
    rows = tuple(Row(tuple(row.cells[index] for index in chosen), row.from_paper) for row in table.rows)
    return Table(table.title, tuple(table.header[index] for index in chosen), rows)


def _grid(table: Table, bold: bool, name_width: int) -> str:
    from tabulate import tabulate

    rows = [
        [textwrap.fill(row.cells[0].text, name_width), *(_terminal_cell(cell, bold) for cell in row.cells[1:])]
        for row in table.rows
    ]
    first, *others = (column.label for column in table.header)
    header = [first, *(textwrap.fill(label, HEADING_WIDTH, break_long_words=False) for label in others)]
    return tabulate(rows, header, tablefmt="simple", disable_numparse=True, colalign=_alignment(table))


def _terminal_cell(cell: Cell, bold: bool) -> str:
    text = f"{cell.text} {cell.verdict}" if cell.verdict in ("lost", "refuted", "gained") else cell.text
    return _BOLD.format(text) if bold and cell.best else text


def _alignment(table: Table) -> tuple[str, ...]:
    return tuple("right" if column.numeric else "left" for column in table.header)
