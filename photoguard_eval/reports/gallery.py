"""What the page shows in pictures: each image, its immunized versions, what was added to it, and all edits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from photoguard_eval.analysis.rows import attack_rows, with_largest_budgets
from photoguard_eval.reports.document import Gallery, ImageView, Lineup, Picture
from photoguard_eval.reports.naming import (
    NO_IMMUNIZATION,
    REROLL_TITLE,
    decimals_for,
    editor_text,
    number,
    purified_text,
    row_titles,
    short_title,
)
from photoguard_eval.reports.pictures import PERTURBATION_FACTOR, ReportImages, embed, embed_perturbation
from photoguard_eval.results.facts import CaseInfo
from photoguard_eval.results.rows import CaseResult, ResultRow
from photoguard_eval.results.schema import EvaluationResult

MOST_PICTURES = 1000
"""Of an editor, so that a board of many attacks stays a page that a browser opens."""


def make_gallery(result: EvaluationResult, editor: str, images: ReportImages) -> Gallery:
    """Collect the pictures of an editor, grouped by image, so that what prompts share stands there once.

    Of more than `MOST_PICTURES`, attacks that are there with several budgets are shown with the largest, and then the
    first images alone.

    Raises:
        StoreError: If a picture is missing.
    """
    by_image: dict[str, list[int]] = {}
    for index, case in enumerate(result.cases):
        by_image.setdefault(case.image_id, []).append(index)
    rows = every = attack_rows(result, editor)
    left_out = []
    references = 1 if result.reroll(editor) is None else 2
    if _count_pictures(by_image.values(), references + len(rows)) > MOST_PICTURES:
        rows = with_largest_budgets(every)
        if len(rows) < len(every):
            left_out.append(f"Of {len(every)} rows {len(rows)} are shown: each attack with its largest budget.")
    shown = dict(by_image)
    while len(shown) > 1 and _count_pictures(shown.values(), references + len(rows)) > MOST_PICTURES:
        shown.popitem()
    if len(shown) < len(by_image):
        left_out.append(
            f"Of {len(by_image)} images the first {len(shown)} are shown. A run with fewer attacks and the same store "
            "shows more, and computes nothing again."
        )
    curator = _Curator(result, editor, rows, images)
    views = tuple(ImageView(name, tuple(curator.lineups(indices))) for name, indices in shown.items())
    return Gallery(editor_text(editor).title, (*curator.references, *curator.titles), views, tuple(left_out))


def _count_pictures(groups: Iterable[Sequence[int]], columns: int) -> int:
    """Count at least the pictures of some images, each given by its cases: two rows of each image, one of each case."""
    return sum(2 + len(indices) for indices in groups) * columns


class _Curator:
    """Makes the rows of pictures of one editor; cases are given by their place in the result."""

    def __init__(self, result: EvaluationResult, editor: str, rows: Sequence[ResultRow], images: ReportImages) -> None:
        self._result = result
        self._editor = editor
        self._images = images
        self._original = result.original(editor)
        self._reroll = result.reroll(editor)
        self._rows = rows
        self.references = (NO_IMMUNIZATION,) if self._reroll is None else (NO_IMMUNIZATION, REROLL_TITLE)
        self.titles = tuple(short_title(title) for title in row_titles(self._rows))

    def lineups(self, indices: Sequence[int]) -> Iterator[Lineup]:
        """Make the rows of one image: its immunized versions, then the edit of each prompt."""
        groups = self._groups(indices)
        for index, fresh in groups:
            prompt = self._result.cases[index].prompt if len(groups) > 1 else ""
            first = index == indices[0]
            yield Lineup("Image", prompt, "", tuple(self._immunized(index, fresh, first)))
            subject = "Mask, and perturbation" if self._shows_mask(first) else "Perturbation"
            heading = f"{subject} ×{PERTURBATION_FACTOR}"
            yield Lineup(heading, prompt, "", tuple(self._perturbations(index, fresh, first)))
            if self._result.purification is not None:
                detail = purified_text(self._result.purification)
                yield Lineup("Purified", prompt, detail, tuple(self._purified(index, fresh, first)))
        for index in indices:
            case = self._result.cases[index]
            yield Lineup("Edit", case.prompt, self._detail(case), tuple(self._edits(index)))

    def _detail(self, case: CaseInfo) -> str:
        detail = f"{case.id}, seed {case.seed[self._editor]}"
        return detail if self._reroll is None else f"{detail}; re-roll, seed {case.reroll_seed[self._editor]}"

    def _no_rerolled_image(self) -> list[None]:
        """Return what stands in the column of the re-roll where there are no edits: its image is the original."""
        return [] if self._reroll is None else [None]

    def _groups(self, indices: Sequence[int]) -> list[tuple[int, list[bool]]]:
        """Return the cases that bring an immunized image that no earlier one showed, and under which rows.

        That is the first alone, unless an attack sees the prompt and so makes another image for each.
        """
        shown: set[str] = set()
        groups = []
        for index in indices:
            fresh = [row.cases[index].immunized not in shown for row in self._rows]
            if any(fresh) or index == indices[0]:
                groups.append((index, fresh))
            shown.update(row.cases[index].immunized for row in self._rows)
        return groups

    def _shows_mask(self, first: bool) -> bool:
        return first and editor_text(self._editor).uses_mask

    def _immunized(self, index: int, fresh: Sequence[bool], first: bool) -> Iterator[Picture | None]:
        case = self._result.cases[index]
        original = self._images.case_image(case)
        yield Picture(embed(original), f"{case.image_id}, original", ("original",)) if first else None
        yield from self._no_rerolled_image()
        for title, row, new in zip(self.titles, self._rows, fresh, strict=True):
            if not new:
                yield None
                continue
            file = self._images.artifact(row.cases[index].immunized)
            yield Picture(embed(file), f"{case.image_id}, immunized by {title}", ("immunized",))

    def _perturbations(self, index: int, fresh: Sequence[bool], first: bool) -> Iterator[Picture | None]:
        case = self._result.cases[index]
        original = self._images.case_image(case)
        mask = embed(self._images.case_mask(case)) if self._shows_mask(first) else None
        yield Picture(mask, f"{case.image_id}, mask", ("mask: white is edited",)) if mask else None
        yield from self._no_rerolled_image()
        for title, row, new in zip(self.titles, self._rows, fresh, strict=True):
            if not new:
                yield None
                continue
            case_result = row.cases[index]
            facts = (f"at most {case_result.linf_levels:.0f} levels", f"RMS {case_result.rms_levels:.1f} levels")
            added = embed_perturbation(original, self._images.artifact(case_result.immunized))
            description = f"{case.image_id}, perturbation by {title}, amplified {PERTURBATION_FACTOR} times"
            yield Picture(added, description, facts)

    def _purified(self, index: int, fresh: Sequence[bool], first: bool) -> Iterator[Picture | None]:
        name, rows = self._result.cases[index].image_id, (self._original, *self._rows)
        for title, row, new in zip((NO_IMMUNIZATION, *self.titles), rows, (first, *fresh), strict=True):
            if row is None or not new:
                yield None
                continue
            file = self._images.artifact(row.cases[index].purified)
            yield Picture(embed(file), f"{name}, purified, {title}", ("purified",))

    def _edits(self, index: int) -> Iterator[Picture | None]:
        case = self._result.cases[index]
        references = (self._original, self._reroll)[: len(self.references)]
        rows = [None if row is None else row.cases[index] for row in (*references, *self._rows)]
        scores = self._scores(rows)
        for title, row, facts in zip((*self.references, *self.titles), rows, scores, strict=True):
            yield None if row is None else self._edit(case, row, title, facts)

    def _edit(self, case: CaseInfo, row: CaseResult, title: str, facts: tuple[str, ...]) -> Picture:
        file = self._images.artifact(row.edit)
        return Picture(embed(file), f"{case.image_id} edited to “{case.prompt}”, {title}", facts)

    def _scores(self, rows: Sequence[CaseResult | None]) -> list[tuple[str, ...]]:
        """Print the scores of a case's edits, each metric with the same decimals for all of them."""
        facts: list[list[str]] = [[] for _ in rows]
        for metric in self._result.metrics:
            if not metric.under_pictures:
                continue
            values = [row.scores.get(metric.name) if row is not None else None for row in rows]
            decimals = decimals_for([value for value in values if value is not None])
            for shown, value in zip(facts, values, strict=True):
                if value is not None:
                    shown.append(f"{metric.label} {number(value, decimals)}")
        return [tuple(shown) for shown in facts]
