"""The figures of protection over budget and visibility show one line per attack and one point per budget."""

import pytest

from photoguard_eval.analysis.tradeoff import tradeoff
from photoguard_eval.reports import tradeoff as figures
from tests.reports.example import make_result, with_rerolls


def tradeoff_figure(result, editor):
    return figures.tradeoff_figure(result, tradeoff(result, editor))


def describe_tradeoff(result, editor):
    return figures.describe_tradeoff(result, tradeoff(result, editor))


def at_budget(method, levels, protection, visibility):
    """The same row at another budget."""
    attack = method.attack
    threat_model = attack.threat_model.model_copy(update={"epsilon": levels / 255})
    metrics = {
        **method.metrics,
        "ssim": method.metrics["ssim"].model_copy(update={"mean": protection}),
        "immunized_ssim": method.metrics["immunized_ssim"].model_copy(update={"mean": visibility}),
    }
    changed = attack.model_copy(update={"threat_model": threat_model})
    return method.model_copy(update={"attack": changed, "metrics": metrics})


@pytest.fixture
def result():
    plain = make_result()
    noise, encoder = (
        next(row for row in plain.attack_rows if row.editor == "inpaint" and row.attack.name == name)
        for name in ("noise", "encoder")
    )
    rows = (noise, at_budget(encoder, 16, 0.5, 0.7), at_budget(encoder, 4, 0.9, 0.95), at_budget(encoder, 8, 0.7, 0.9))
    return plain.replaced(attack_rows=rows, editors=("inpaint",))


def test_points_are_where_they_were_measured(result):
    over_budget, over_visibility = tradeoff_figure(result, "inpaint").axes
    line = over_budget.lines[1]
    assert line.get_xdata() == pytest.approx([4, 8, 16])
    assert line.get_ydata() == pytest.approx([0.9, 0.7, 0.5])
    assert over_visibility.lines[1].get_xdata() == pytest.approx([0.95, 0.9, 0.7])
    assert [label.get_text() for label in over_budget.get_xticklabels()] == ["4", "8", "16"]


def test_a_re_roll_is_a_line_across_every_panel(result):
    rerolled = with_rerolls(make_result())
    board = result.replaced(rerolls=rerolled.rerolls)
    figure = tradeoff_figure(board, "inpaint")
    for panel, before in zip(figure.axes, tradeoff_figure(result, "inpaint").axes, strict=True):
        assert list(panel.lines[-1].get_ydata()) == [0.5, 0.5]
        assert len(panel.lines) == len(before.lines) + 1
    assert figure.legends[0].get_texts()[-1].get_text() == "Re-roll (another seed)"
    assert describe_tradeoff(board, "inpaint").endswith("the unprotected image edited with another seed: 0.500.")


def test_budgets_that_round_alike_are_told_apart(result):
    encoder = result.attack_rows[1]
    board = result.replaced(attack_rows=(encoder, at_budget(encoder, 16.00125, 0.4, 0.6)))
    over_budget, _ = tradeoff_figure(board, "inpaint").axes
    assert [label.get_text() for label in over_budget.get_xticklabels()] == ["16", "16.001"]
    assert "16.001 levels 0.400" in describe_tradeoff(board, "inpaint")


def test_one_budget_needs_no_panel_of_its_own():
    (panel,) = tradeoff_figure(make_result(), "img2img").axes
    assert "immunized image" in panel.get_xlabel()


def test_the_figure_is_said_in_words(result):
    text = describe_tradeoff(result, "inpaint")
    assert "Encoder attack: 4 levels 0.900 (image 0.950), 8 levels 0.700 (image 0.900), 16 levels" in text


def test_the_legend_of_many_attacks_fits(result):
    noise, encoder = result.attack_rows[:2]
    rows = [
        encoder.model_copy(update={"attack": encoder.attack.model_copy(update={"label": f"encoder,steps={steps}"})})
        for steps in range(30)
    ]
    figure = tradeoff_figure(result.replaced(attack_rows=(noise, *rows)), "inpaint")
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert legend.height <= figure.bbox.height
    assert legend.x1 <= figure.bbox.x1 + 1
