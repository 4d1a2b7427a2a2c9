import pytest

from recipes.emoji_scenes.__main__ import main
from recipes.emoji_scenes.effect import describe_effect, mean_and_interval
from tests.reports.example import make_result


def test_an_interval_surrounds_the_mean_and_shrinks_with_the_number_of_images():
    mean, low, high = mean_and_interval([0.1, 0.4, 0.2, 0.5] * 2)
    assert low < mean < high
    assert mean == pytest.approx(0.3)
    _, many_low, many_high = mean_and_interval([0.1, 0.4, 0.2, 0.5] * 20)
    assert many_high - many_low < (high - low) / 2


@pytest.mark.parametrize("values", [[0.5], [0.5] * 5])
def test_constant_values_have_an_interval_of_no_width(values):
    assert mean_and_interval(values) == (0.5, 0.5, 0.5)


def test_every_row_shows_means_of_the_result():
    result = make_result()
    table = describe_effect(result).splitlines()
    assert len(table) == 3 + len(result.rows)
    for line, method in zip(table[3:], result.rows, strict=True):
        assert method.label in line
        if method.attack:
            assert f"{method.metrics['ssim'].mean:.3f} [" in line


def test_a_store_without_results_says_what_to_run(tmp_path, capsys):
    assert main(["effect", "--store", str(tmp_path)]) == 2
    assert "photoguard-eval run" in capsys.readouterr().err
