"""Which views a report has, by the place that it is read in: a new view is a function, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from photoguard_eval.analysis.board import BoardGroup
from photoguard_eval.reports.document import Document, Section
from photoguard_eval.reports.views.board import board_means, board_rankings
from photoguard_eval.reports.views.claims import claims_section
from photoguard_eval.reports.views.editors import (
    measured,
    measured_and_claimed,
    measured_claimed_and_pictured,
)
from photoguard_eval.reports.views.figures import (
    figure_7_by_editor,
    figure_7_whole,
    tradeoff_of_all,
    tradeoff_of_each,
)
from photoguard_eval.reports.views.pictures import galleries
from photoguard_eval.reports.views.provenance import provenance, provenance_in_short
from photoguard_eval.reports.views.reading import (
    markdown_head,
    markdown_title,
    page_head,
    page_title,
    reading,
    terminal_title,
)
from photoguard_eval.reports.views.subject import Subject, View, by_purification
from photoguard_eval.reports.views.verdict import (
    broken_thresholds_section,
    claims_summary_section,
    verdict_section,
)

TERMINAL: tuple[View, ...] = (by_purification(measured_and_claimed), verdict_section)

MARKDOWN: tuple[View, ...] = (
    by_purification(measured_claimed_and_pictured),
    by_purification(figure_7_whole),
    by_purification(tradeoff_of_each),
    claims_summary_section,
    broken_thresholds_section,
    provenance_in_short,
)

PAGE: tuple[View, ...] = (
    reading,
    by_purification(measured),
    by_purification(figure_7_by_editor),
    by_purification(tradeoff_of_all),
    claims_section,
    by_purification(galleries),
    provenance,
)

BOARD: tuple[Callable[[BoardGroup], Iterable[Section]], ...] = (board_rankings, board_means)
"""Views of each group of rows of the leaderboard over several results."""


def terminal_document(subject: Subject) -> Document:
    """Say what a terminal shows of a result."""
    return Document(terminal_title(subject), (), _sections(TERMINAL, subject))


def markdown_document(subject: Subject) -> Document:
    """Say what the report in Markdown shows of a result.

    Raises:
        StoreError: If a picture is missing.
    """
    return Document(markdown_title(subject), markdown_head(subject), _sections(MARKDOWN, subject))


def page_document(subject: Subject) -> Document:
    """Say what the page shows of a result.

    Raises:
        StoreError: If a picture is missing.
    """
    return Document(page_title(subject), page_head(subject), _sections(PAGE, subject))


def board_sections(board: Sequence[BoardGroup]) -> tuple[Section, ...]:
    """Say what the leaderboard over several results shows."""
    return tuple(section for group in board for view in BOARD for section in view(group))


def _sections(views: Iterable[View], subject: Subject) -> tuple[Section, ...]:
    return tuple(section for view in views for section in view(subject))
