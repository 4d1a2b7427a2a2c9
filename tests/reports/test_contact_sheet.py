"""A contact sheet shows, pixel by pixel, each row's image and edit of cases that nobody picked."""

import io

import numpy as np
import pytest
from PIL import Image

from photoguard_eval.errors import StoreError
from photoguard_eval.reports.contact_sheet import (
    GAP,
    HEADING_HEIGHT,
    LABEL_WIDTH,
    SIDE,
    contact_sheet,
    sheet_cases,
    sheet_rows,
)
from photoguard_eval.reports.figures import figure_png
from tests.reports.example import HOSTILE_PROMPT, ExampleImages, encode, make_result, with_rerolls
from tests.reports.test_tradeoff import at_budget


def picture(figure):
    """Return the pixels of the file."""
    return np.asarray(Image.open(io.BytesIO(figure_png(figure))).convert("RGB"))


def shown(pixels, row, column):
    """Return the pixels of one picture."""
    top, left = HEADING_HEIGHT + row * (SIDE + GAP), LABEL_WIDTH + column * (SIDE + GAP)
    return pixels[top : top + SIDE, left : left + SIDE]


def enlarged(file):
    """Repeat each pixel of a small image until it is as large as on the sheet."""
    levels = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    factor = SIDE // levels.shape[0]
    return levels.repeat(factor, 0).repeat(factor, 1)


def labels(figure):
    """Return what stands at the rows and over the columns, in one line each."""
    (panel,) = figure.axes
    return [
        [" ".join(tick.get_text().split()) for tick in ticks]
        for ticks in (panel.get_yticklabels(), panel.get_xticklabels())
    ]


def test_each_row_shows_its_own_images_and_edits_without_a_pixel_lost(result):
    images = ExampleImages()
    pixels = picture(contact_sheet(result, "inpaint", images))
    rows = sheet_rows(result, "inpaint")
    assert [row.attack.name if row.attack else "" for row in rows] == ["", "noise", "encoder", "diffusion"]
    for place, index in enumerate(sheet_cases(result)):
        original = images.case_image(result.cases[index])
        for row, method in enumerate(rows):
            own = method.cases[index]
            published = images.artifact(own.immunized) if own.immunized else original
            assert np.array_equal(shown(pixels, row, 2 * place), enlarged(published))
            assert np.array_equal(shown(pixels, row, 2 * place + 1), enlarged(images.artifact(own.edit)))


def test_a_re_roll_shows_the_original_and_its_own_edit(result):
    images = ExampleImages()
    pixels = picture(contact_sheet(with_rerolls(result), "inpaint", images))
    assert np.array_equal(shown(pixels, 1, 0), enlarged(images.case_image(result.cases[0])))
    assert np.array_equal(shown(pixels, 1, 1), enlarged(images.artifact("reroll-inpaint-edit-0")))
    assert labels(contact_sheet(with_rerolls(result), "inpaint", images))[0][:2] == ["No immunization", "Re-roll"]


def test_cases_are_spread_over_the_images(result):
    assert sheet_cases(result) == (0, 2)
    case = result.cases[0]
    many = tuple(case.model_copy(update={"image_id": f"image-{index // 3}"}) for index in range(30))
    assert sheet_cases(result.model_copy(update={"cases": many})) == (0, 6, 15, 21)


def test_rows_and_columns_are_named(result):
    rows, columns = labels(contact_sheet(result, "inpaint", ExampleImages()))
    assert rows == ["No immunization", "Random noise", "Encoder attack", "Diffusion attack"]
    assert columns[:3] == ["image", "“a cat on a beach”", "image"]
    # A word that is longer than a line is broken.
    assert columns[3].replace(" ", "") == f"“{HOSTILE_PROMPT}”".replace(" ", "")


def test_a_larger_picture_is_scaled_down_and_keeps_its_shape(result):
    class Wide(ExampleImages):
        def artifact(self, key):
            return encode(Image.new("RGB", (4 * SIDE, 2 * SIDE), (200, 30, 60)))

    edit = shown(picture(contact_sheet(result, "inpaint", Wide())), 1, 1)
    quarter = SIDE // 4
    assert (edit[quarter:-quarter] == (200, 30, 60)).all()
    assert (edit[:quarter] == 255).all()
    assert (edit[-quarter:] == 255).all()


def test_of_many_rows_those_with_the_largest_budget_stay(result, monkeypatch):
    row = result.attack_rows[1]
    methods = (row, at_budget(row, 8, 0.5, 0.9), at_budget(row, 4, 0.6, 0.95))
    board = result.replaced(attack_rows=methods, originals=())
    assert len(sheet_rows(board, "inpaint")) == 3
    monkeypatch.setattr("photoguard_eval.reports.contact_sheet.MOST_ROWS", 2)
    assert sheet_rows(board, "inpaint") == (row,)
    assert labels(contact_sheet(board, "inpaint", ExampleImages()))[0] == ["Encoder attack"]


def test_a_label_in_brackets_has_a_line_of_its_own(result):
    encoder = next(method for method in result.attack_rows if method.attack.name == "encoder")
    attack = encoder.attack.model_copy(update={"label": "encoder,target=zero,norm=l2"})
    methods = (encoder, encoder.model_copy(update={"attack": attack}))
    figure = contact_sheet(result.replaced(attack_rows=methods), "inpaint", ExampleImages())
    assert figure.axes[0].get_yticklabels()[2].get_text() == "Encoder attack\n[encoder,target=zero,norm=l2]"


def test_a_dollar_sign_is_no_formula(result):
    cases = tuple(case.model_copy(update={"prompt": "a $100 bill, $5"}) for case in result.cases)
    figure = contact_sheet(result.model_copy(update={"cases": cases}), "inpaint", ExampleImages())
    assert "“a $100 bill, $5”" in labels(figure)[1]
    assert figure_png(figure).startswith(b"\x89PNG")


def test_labels_stay_on_the_sheet(result):
    figure = contact_sheet(result, "inpaint", ExampleImages())
    figure.canvas.draw()
    (panel,) = figure.axes
    for label in (*panel.get_yticklabels(), *panel.get_xticklabels()):
        box = label.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1


def test_a_missing_picture_is_an_error():
    class Missing(ExampleImages):
        def artifact(self, key):
            raise StoreError(f"The store lacks {key}.")

    with pytest.raises(StoreError, match="lacks"):
        contact_sheet(make_result(), "inpaint", Missing())
