"""What a table is: what stands where, and which value is best. How it is printed is for others to say."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from photoguard_eval.results.outcomes import Verdict

TEXT_WIDTH = 40
"""Width that texts of a table of facts are wrapped to."""


@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds numbers."""

    label: str
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        text: The content.
        best: Whether it is the best of its column.
        verdict: Of a claim: how it stands; "" elsewhere.
    """

    text: str
    best: bool = False
    verdict: Verdict | Literal[""] = ""


@dataclass(frozen=True)
class Row:
    """A row; the first cell names it."""

    cells: tuple[Cell, ...]
    from_paper: bool = False


@dataclass(frozen=True)
class Table:
    """A table with what has to be known to read it.

    Attributes:
        title: What it shows.
        header: The columns.
        rows: The rows, each as long as the header.
        notes: Sentences to print under it.
    """

    title: str
    header: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    kind: ClassVar[str] = "table"


def table_of(title: str, facts: Sequence[Mapping[str, Any]]) -> Table:
    """Make a table of facts, one row for each.

    Args:
        title: What it shows.
        facts: At least one; all with the same keys, which head the columns.
    """
    header = tuple(Column(key.replace("_", " "), not isinstance(value, str)) for key, value in facts[0].items())
    rows = tuple(Row(tuple(Cell(textwrap.fill(str(value), TEXT_WIDTH)) for value in fact.values())) for fact in facts)
    return Table(title, header, rows)


def without_repeated_notes(tables: Sequence[Table], seen: set[str]) -> list[Table]:
    """Keep a note only under the first table that has it.

    Args:
        tables: Tables in the order in which they are shown.
        seen: Notes that were shown before; those of these tables are added.
    """
    shortened = []
    for table in tables:
        notes = tuple(note for note in table.notes if note not in seen)
        seen.update(notes)
        shortened.append(replace(table, notes=notes))
    return shortened
