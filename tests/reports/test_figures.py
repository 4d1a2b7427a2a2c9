from __future__ import annotations

from xml.etree import ElementTree

import pytest

from photoguard_eval.reports.figures import describe_figure, figure_7, figure_editors, figure_png, figure_svg
from photoguard_eval.results.rows import Summary
from tests.reports.example import EDITORS, with_rerolls

NAMES = ["No\nimmunization", "Random\nnoise", "Encoder\nattack", "Diffusion\nattack"]


def rows(result, editor):
    return [result.original(editor), *(method for method in result.attack_rows if method.editor == editor)]


def test_bars_are_the_means_of_original_and_attacks(result):
    figure = figure_7(result, EDITORS)
    for panel, editor in zip(figure.axes, EDITORS, strict=True):
        means = [row.metrics["clip_similarity"].mean for row in rows(result, editor)]
        assert [bar.get_height() for bar in panel.containers[0]] == pytest.approx(means)
        assert [label.get_text() for label in panel.get_xticklabels()] == NAMES


def test_a_re_roll_has_a_bar_of_its_own_colour_between_the_original_and_the_attacks(result):
    before, after = (figure_7(shown, EDITORS).axes[0] for shown in (result, with_rerolls(result)))
    bars = after.containers[0].patches
    assert [label.get_text() for label in after.get_xticklabels()] == [NAMES[0], "Re-roll", *NAMES[1:]]
    assert bars[1].get_height() == pytest.approx(0.29)
    colours = [bar.get_facecolor() for bar in bars]
    assert [colours[0], *colours[2:]] == [bar.get_facecolor() for bar in before.containers[0].patches]
    assert len(set(colours)) == len(colours)
    assert "Re-roll 0.290, Random noise" in describe_figure(with_rerolls(result), "inpaint")


def test_error_bars_are_the_interquartile_range(result):
    panel = figure_7(result, EDITORS).axes[0]
    (segments,) = panel.containers[1].lines[2]
    for segment, row in zip(segments.get_segments(), rows(result, "inpaint"), strict=True):
        summary = row.metrics["clip_similarity"]
        assert segment[:, 1] == pytest.approx([summary.first_quartile, summary.third_quartile])


def test_a_mean_outside_of_its_quartiles_is_drawn(result):
    skewed = Summary(mean=0.9, std=0.5, first_quartile=0.1, median=0.15, third_quartile=0.2)
    original = result.originals[0].model_copy(update={"metrics": {"clip_similarity": skewed}})
    panel = figure_7(result.replaced(originals=(original, result.originals[1])), EDITORS).axes[0]
    assert panel.containers[0][0].get_height() == 0.9
    assert panel.get_ylim()[1] > 0.9


def test_panels_start_at_zero_share_their_scale_and_state_n(result):
    together = figure_7(result, EDITORS)
    apart = figure_7(result, ["img2img"])
    assert together.axes[0].get_ylim()[0] == 0
    assert together.axes[0].get_ylim() == together.axes[1].get_ylim() == apart.axes[0].get_ylim()
    assert together.axes[0].get_title() == "Inpainting, n = 4"


def test_a_negative_similarity_is_inside_the_scale(result):
    summary = Summary(mean=-0.2, std=0.1, first_quartile=-0.3, median=-0.2, third_quartile=-0.1)
    original = result.originals[0].model_copy(update={"metrics": {"clip_similarity": summary}})
    panel = figure_7(result.replaced(originals=(original, result.originals[1])), EDITORS).axes[0]
    assert panel.get_ylim()[0] < -0.3


def test_the_svg_is_the_same_every_time_and_its_text_is_text(result):
    first, second = (figure_svg(figure_7(result, ["inpaint"])) for _ in range(2))
    assert first == second
    texts = [element.text for element in ElementTree.fromstring(first).iter() if element.tag.endswith("text")]
    assert "Inpainting, n = 4" in texts
    assert "0.320" in texts
    assert "2030" not in first


def test_identifiers_of_two_panels_do_not_meet(result):
    def identifiers(prefix):
        root = ElementTree.fromstring(figure_svg(figure_7(result, ["inpaint"]), prefix))
        return {element.get("id") for element in root.iter() if element.get("id")}

    first, second = identifiers("figure-0"), identifiers("figure-1")
    assert first
    assert not first & second


def test_references_inside_the_svg_lead_somewhere(result):
    svg = figure_svg(figure_7(result, ["inpaint"]), "figure-0")
    root = ElementTree.fromstring(svg)
    identifiers = {element.get("id") for element in root.iter()}
    link = "{http://www.w3.org/1999/xlink}href"
    uses = {element.get(link).removeprefix("#") for element in root.iter() if element.get(link)}
    clips = {element.get("clip-path")[5:-1] for element in root.iter() if element.get("clip-path")}
    assert uses
    assert clips
    assert uses | clips <= identifiers


def test_a_plugins_dollar_sign_is_no_formula(result):
    method = result.attack_rows[0]
    named = method.model_copy(update={"attack": method.attack.model_copy(update={"title": "a$b_$<c>"})})
    svg = figure_svg(figure_7(result.replaced(attack_rows=(named,)), ["inpaint"]))
    assert "a$b_$&lt;c&gt;" in svg


def test_the_png_is_a_picture_of_both_panels(result):
    png = figure_png(figure_7(result, EDITORS))
    assert png.startswith(b"\x89PNG")
    assert len(png) > 5_000


def test_without_prompt_similarity_there_is_no_panel(result):
    methods = tuple(method.model_copy(update={"metrics": {}}) for method in result.attack_rows)
    bare = result.replaced(originals=(), attack_rows=methods)
    assert figure_editors(bare) == ()
    assert figure_editors(result) == EDITORS


def test_the_description_names_every_value(result):
    assert describe_figure(result, "inpaint") == (
        "Mean CLIP similarity of edit and prompt under Inpainting: No immunization 0.320, Random noise 0.310, "
        "Encoder attack 0.250, Diffusion attack 0.200."
    )


def test_many_bars_lie_one_below_the_other(result, monkeypatch):
    monkeypatch.setattr("photoguard_eval.reports.figures.MOST_UPRIGHT", 3)
    panel = figure_7(result, ["inpaint"]).axes[0]
    assert [bar.get_width() for bar in panel.patches] == [
        row.metrics["clip_similarity"].mean for row in rows(result, "inpaint")
    ]
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        "No immunization",
        "Random noise",
        "Encoder attack",
        "Diffusion attack",
    ]
    top, bottom = panel.transData.transform([(0, 0), (0, 3)])[:, 1]
    assert top > bottom
    assert panel.get_xlim()[1] > max(row.metrics["clip_similarity"].third_quartile for row in rows(result, "inpaint"))
