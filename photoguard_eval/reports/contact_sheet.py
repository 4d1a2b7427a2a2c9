"""The pictures of a report at a glance: some images and their edits, without and with each immunization."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from photoguard_eval.analysis.rows import with_largest_budgets, with_references
from photoguard_eval.reports.figures import DOTS_PER_INCH, INK
from photoguard_eval.reports.naming import row_titles, short_title
from photoguard_eval.reports.pictures import ReportImages, decode
from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from PIL.Image import Image

SHOWN_CASES = 4
"""Each takes two columns: the image, and its edit."""

MOST_ROWS = 20
"""With more rows than these, attacks that are there with several budgets are shown with the largest."""

SIDE = 128
"""Of each picture, in pixels; the pixels of a picture that is smaller by a whole factor stay squares."""

GAP = 6
LABEL_WIDTH = 270
HEADING_HEIGHT = 90
"""In pixels."""

LABEL_LETTERS = 30
HEADING_LETTERS = 14
FONT_SIZE = 7


def sheet_rows(result: EvaluationResult, editor: str) -> tuple[ResultRow, ...]:
    """Return what a sheet shows of an editor: no immunization and the re-roll first, then every attack."""
    rows = with_references(result, editor)
    return with_largest_budgets(rows) if len(rows) > MOST_ROWS else rows


def sheet_cases(result: EvaluationResult) -> tuple[int, ...]:
    """Choose cases by their place in the result, not by how they look: spread over the images, the first of each."""
    firsts: dict[str, int] = {}
    for index, case in enumerate(result.cases):
        firsts.setdefault(case.image_id, index)
    indices = list(firsts.values())
    count = min(SHOWN_CASES, len(indices))
    return tuple(indices[place * len(indices) // count] for place in range(count))


def contact_sheet(result: EvaluationResult, editor: str, images: ReportImages) -> Figure:
    """Draw each row's image and edit of some cases.

    Args:
        result: The result of an evaluation.
        editor: An editor with `sheet_rows`.
        images: Where pictures come from.

    Returns:
        A figure for `figure_png`, where each pixel of the pictures is one of the file.

    Raises:
        StoreError: If a picture is missing.
    """
    from matplotlib.figure import Figure

    rows, cases = sheet_rows(result, editor), sheet_cases(result)
    mosaic = _mosaic([list(_pictures(result, row, cases, images)) for row in rows])
    height, width = mosaic.shape[:2]
    full_width, full_height = width + LABEL_WIDTH, height + HEADING_HEIGHT
    figure = Figure(figsize=(full_width / DOTS_PER_INCH, full_height / DOTS_PER_INCH))
    panel = figure.add_axes((LABEL_WIDTH / full_width, 0, width / full_width, height / full_height))
    panel.imshow(mosaic, interpolation="nearest", aspect="auto")
    panel.spines[:].set_visible(False)
    titles = [short_title(title) for title in row_titles(rows)]
    # Titles and prompts come from plug-ins and datasets: a dollar sign in one is no formula.
    style: dict[str, Any] = {"fontsize": FONT_SIZE, "color": INK, "parse_math": False}
    panel.set_yticks(_centres(len(rows)), [_wrapped(title, LABEL_LETTERS) for title in titles], **style)
    headings = [text for index in cases for text in ("image", f"“{result.cases[index].prompt}”")]
    panel.set_xticks(_centres(len(headings)), [_wrapped(text, HEADING_LETTERS) for text in headings], **style)
    panel.tick_params(length=0, labeltop=True, labelbottom=False)
    return figure


def _pictures(
    result: EvaluationResult, row: ResultRow, cases: Sequence[int], images: ReportImages
) -> Iterator[np.ndarray]:
    import numpy as np

    for index in cases:
        own = row.cases[index]
        published = images.artifact(own.immunized) if own.immunized else images.case_image(result.cases[index])
        for file in (published, images.artifact(own.edit)):
            yield np.asarray(_fitted(decode(file)))


def _fitted(image: Image) -> Image:
    from PIL import ImageOps
    from PIL.Image import Resampling

    method = Resampling.NEAREST if max(image.size) <= SIDE else Resampling.BOX
    return ImageOps.pad(image, (SIDE, SIDE), method=method, color="white")


def _mosaic(pictures: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    import numpy as np

    pitch = SIDE + GAP
    mosaic = np.full((pitch * len(pictures), pitch * len(pictures[0]), 3), 255, np.uint8)
    for row, own in enumerate(pictures):
        for column, picture in enumerate(own):
            mosaic[row * pitch :, column * pitch :][:SIDE, :SIDE] = picture
    return mosaic


def _centres(count: int) -> list[float]:
    return [index * (SIDE + GAP) + SIDE / 2 for index in range(count)]


def _wrapped(text: str, letters: int) -> str:
    """Break a text into lines, and before a label in brackets."""
    parts = text.replace(" [", "\n[").splitlines()
    return "\n".join(line for part in parts for line in textwrap.wrap(part, letters))
