"""Prints tables for a terminal and as Markdown."""

from __future__ import annotations

import re
import shutil
import textwrap

from photoguard_eval.reports.cells import Cell, Row, Table

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
_MARKDOWN_SPECIAL = re.compile(r"([\\|`*_<>\[\]])")


def terminal_width() -> int:
    """Return the columns of the terminal, or what the environment variable COLUMNS says."""
    return max(LEAST_WIDTH, shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns)


def render_terminal(table: Table, *, bold: bool, width: int = DEFAULT_WIDTH) -> str:
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
    return "\n".join([title, *_blocks(table, bold, width), *notes])


def render_markdown(table: Table, heading: str = "###") -> str:
    """Print a table as Markdown with its title as a heading and its notes as paragraphs."""
    from tabulate import tabulate

    rows = [[_markdown_cell(cell, row) for cell in row.cells] for row in table.rows]
    header = [escape_markdown(column.label) for column in table.header]
    grid = tabulate(rows, header, tablefmt="pipe", disable_numparse=True, colalign=_alignment(table))
    return "\n\n".join([f"{heading} {escape_markdown(table.title)}", grid, *map(escape_markdown, table.notes)])


def escape_markdown(text: str) -> str:
    """Escape what Markdown would read as markup, and put the text on one line."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _markdown_cell(cell: Cell, row: Row) -> str:
    text = escape_markdown(cell.text)
    if cell.verdict:
        text = f"{text} {cell.verdict}"
    if cell.best:
        return f"**{text}**"
    return f"*{text}*" if row.from_paper and cell is row.cells[0] else text


def _blocks(table: Table, bold: bool, width: int) -> list[str]:
    for name_width in NAME_WIDTHS:
        grid = _grid(table, bold, name_width)
        if max(len(_ANSI.sub("", line)) for line in grid.splitlines()) <= width:
            return [grid]
    columns = len(table.header)
    if columns <= 2:
        return [grid]
    middle = (columns + 1) // 2
    first, second = (range(1, middle), range(middle, columns))
    return [*_blocks(_columns(table, first), bold, width), "", *_blocks(_columns(table, second), bold, width)]


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
