"""What a report says, whatever it is printed on: sections of text, facts, tables, figures and pictures.

A view makes sections of a result and its analysis; a renderer prints every kind of block that is defined here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from photoguard_eval.reports.cells import Table
from photoguard_eval.reports.pictures import Embedded

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


class Strong(str):
    """Words of a text that stand out."""

    __slots__ = ()


class Code(str):
    """Words of a text that are for a machine."""

    __slots__ = ()


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        runs: Its words; those that stand out are `Strong` or `Code`. Nothing is put between them.
        note: Whether it only explains what stands beside it.
    """

    runs: tuple[str, ...]
    note: bool = False
    kind: ClassVar[str] = "text"

    @property
    def plain(self) -> str:
        """All words, none of which stands out."""
        return "".join(self.runs)


@dataclass(frozen=True)
class Heading:
    """Stands over some blocks of a section."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Facts:
    """Names, each with what is said of it."""

    entries: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Verdict:
    """The outcome of the gate in sentences.

    Attributes:
        passed: Whether the gate passes.
        compared: Whether there was a baseline to compare with.
        headline: The outcome.
        details: What it rests on.
        stopped: A sentence for each attack that did not finish.
    """

    passed: bool
    compared: bool
    headline: str
    details: tuple[str, ...]
    stopped: tuple[str, ...] = ()
    kind: ClassVar[str] = "verdict"


@dataclass(frozen=True)
class Figure:
    """A picture that is made for the report.

    Attributes:
        name: Tells it from the others of the document; part of a file's name.
        description: What it shows, for people who cannot see it.
        draw: Draws it, for `photoguard_eval.reports.figures.figure_svg` and `figure_png`.
    """

    name: str
    description: str
    draw: Callable[[], Drawing]


@dataclass(frozen=True)
class Figures:
    """Figures that stand beside each other."""

    figures: tuple[Figure, ...]
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Picture:
    """A picture with what it shows, for people who cannot see it, and short facts to stand under it."""

    image: Embedded
    description: str
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lineup:
    """A row of pictures, one per column of the gallery.

    Attributes:
        heading: What all of them are.
        prompt: The prompt that they are about; "" if they are about all prompts.
        detail: The case and its seed, of edits; "" else.
        pictures: None where there is nothing to show.
    """

    heading: str
    prompt: str
    detail: str
    pictures: tuple[Picture | None, ...]


@dataclass(frozen=True)
class ImageView:
    """An image under one editor: how it is immunized, and how it is edited."""

    name: str
    lineups: tuple[Lineup, ...]


@dataclass(frozen=True)
class Gallery:
    """Images under one editor; first columns without immunization, its re-roll the second, then one per attack.

    Attributes:
        title: The editor in words.
        columns: Headings.
        images: The images.
        left_out: Sentences about what is not shown because it would be too much.
    """

    title: str
    columns: tuple[str, ...]
    images: tuple[ImageView, ...]
    left_out: tuple[str, ...] = ()
    kind: ClassVar[str] = "gallery"

    @property
    def scaled(self) -> bool:
        """Whether any picture was scaled down."""
        return any(
            picture is not None and picture.image.scaled
            for image in self.images
            for lineup in image.lineups
            for picture in lineup.pictures
        )


Block = Text | Heading | Facts | Verdict | Table | Figures | Gallery
"""What a section is made of. Every renderer prints every kind."""


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: Stands over it; "" where a block has a title of its own that says enough.
        anchor: Its name in links; unique in a document, "" for a section that nothing leads to.
        blocks: What it says.
        entry: What the list of sections calls it; "" leaves it out.
    """

    title: str
    anchor: str
    blocks: tuple[Block, ...]
    entry: str = ""


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: What it is about.
        head: What stands before its sections.
        sections: Its parts in their order.
    """

    title: str
    head: tuple[Block, ...]
    sections: tuple[Section, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, in their order."""
        blocks = (*self.head, *(block for section in self.sections for block in section.blocks))
        return tuple(figure for block in blocks if isinstance(block, Figures) for figure in block.figures)
