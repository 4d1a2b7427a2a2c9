"""What an evaluation found, for a person with a notebook: a table, ranks, figures, a page and comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval.analysis.comparison import Difference, compare
from photoguard_eval.analysis.gate import check_if_comparable
from photoguard_eval.analysis.ranking import Ranking, rank
from photoguard_eval.errors import UnknownNameError
from photoguard_eval.files import write_atomically
from photoguard_eval.reports.pictures import ReportImages
from photoguard_eval.reports.printing import terminal_report
from photoguard_eval.reports.render import page
from photoguard_eval.reports.views import markdown_document, page_document
from photoguard_eval.reports.views.subject import Subject, subject_of
from photoguard_eval.results.facts import FailedAttack
from photoguard_eval.results.frames import FrameLibrary, frame_of
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Result:
    """The result of an evaluation. `print` shows its tables as the command line does.

    Attributes:
        values: Everything that was measured, as it is stored.
        images: Where its pictures come from.
        computed: How many images were computed for it; the others were in the store.
        paper_rows: Whether the paper's own rows stand beside the measured ones.
    """

    values: EvaluationResult
    images: ReportImages
    computed: int = 0
    paper_rows: bool = False

    def __str__(self) -> str:
        """Return the tables, the paper's claims and the gate's verdict as text."""
        return terminal_report(self.values, self.gate, paper_rows=self.paper_rows)

    @property
    def failures(self) -> tuple[FailedAttack, ...]:
        """The attacks that were stopped, and why; they have no rows."""
        return self.values.failures

    @cached_property
    def gate(self) -> GateReport:
        """The paper's claims as measured, and what the gate says, where a baseline has the same conditions."""
        return check_if_comparable(self.values)

    def frame(self, library: FrameLibrary = "pandas") -> Any:
        """Return a data frame with one line for each case of each row, see `results.frames.records_of`.

        Args:
            library: "pandas" or "polars".

        Raises:
            ConfigurationError: If the library is not installed.
        """
        return frame_of(self.values, library)

    def ranking(self, editor: str | None = None) -> tuple[Ranking, ...]:
        """Rank the attacks of each editor and budget by all metrics.

        Args:
            editor: One of the editors; by default all of them.

        Raises:
            UnknownNameError: If the result has no such editor.
        """
        editors = tuple(self.values.editors)
        if editor is not None and editor not in editors:
            raise UnknownNameError("editor of the result", editor, editors)
        return tuple(
            ranking for name in (editors if editor is None else (editor,)) for ranking in rank(self.values, name)
        )

    def figure(self, name: str, editor: str | None = None) -> Figure:
        """Draw a figure of the report.

        Args:
            name: "tradeoff", "edits" or "figure-7"; or the whole name of one, such as "tradeoff-inpaint".
            editor: Which editor's, where each has one; by default the first that has.

        Raises:
            UnknownNameError: If the result has no such figure.
        """
        figures = {figure.name: figure for figure in markdown_document(self._subject).figures}
        names = [f"{name}-{each}" for each in (self.values.editors if editor is None else (editor,))]
        if editor is None:
            names.insert(0, name)
        found = next((figures[each] for each in names if each in figures), None)
        if found is None:
            raise UnknownNameError("figure", names[0], figures)
        return found.draw()

    def compare(self, other: Result) -> tuple[Difference, ...]:
        """Compare with another result, row by row over the same cases: `change` is the other's score less this one's.

        Args:
            other: Measured under the same conditions.

        Raises:
            ConfigurationError: If the two were measured under different conditions, or share no row.
        """
        return compare(self.values, other.values)

    def to_html(self, path: str | Path) -> Path:
        """Write the page: tables, figures, and every image and edit, in one file.

        Args:
            path: The file.

        Returns:
            The same path.

        Raises:
            StoreError: If a picture is missing, or the file cannot be written.
        """
        path = Path(path)
        write_atomically(path, page.render_document(page_document(self._subject)).encode())
        return path

    @property
    def _subject(self) -> Subject:
        return subject_of(self.values, self.gate, self.images, paper_rows=self.paper_rows)
