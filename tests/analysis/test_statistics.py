import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import friedmanchisquare, rankdata

from photoguard_eval.analysis.statistics import (
    concordance,
    holm,
    paired_difference,
    paired_p_value,
    ranks,
)
from photoguard_eval.results.summaries import quantile, summarize

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(VALUES)
def test_summaries_agree_with_numpy(values):
    summary = summarize(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=1e-6)
    if len(values) > 1:
        assert summary.std == pytest.approx(np.std(values, ddof=1), abs=1e-5)
    else:
        assert summary.std is None
    quartiles = (summary.first_quartile, summary.median, summary.third_quartile)
    assert quartiles == pytest.approx(tuple(np.percentile(values, [25, 50, 75])), abs=1e-6)


@given(VALUES, st.floats(0, 1))
def test_quantiles_agree_with_numpy(values, share):
    assert quantile(sorted(values), share) == pytest.approx(np.quantile(values, share), abs=1e-6)


def test_a_paired_difference_uses_pairs():
    mean, error = paired_difference([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], ["a", "b", "c"])
    assert (mean, error) == (1.0, 0.0)
    mean, error = paired_difference([1.0, 2.0, 4.0], [0.0, 1.0, 2.0], ["a", "b", "c"])
    assert mean == pytest.approx(4 / 3)
    assert error == pytest.approx(np.std([1, 1, 2], ddof=1) / 3**0.5)


def test_the_prompts_of_an_image_are_one_sample():
    images = ["a", "a", "b", "b", "c", "c"]
    alike, error = paired_difference([1.0, 1.0, 2.0, 2.0, 4.0, 4.0], [0.0] * 6, images)
    assert (alike, error) == pytest.approx((7 / 3, np.std([1, 2, 4], ddof=1) / 3**0.5))
    unlike, error = paired_difference([0.0, 2.0, 1.0, 3.0, 0.0, 8.0], [0.0] * 6, images)
    assert (unlike, error) == pytest.approx((7 / 3, np.std([1, 2, 4], ddof=1) / 3**0.5))
    # Of images with unequal numbers of prompts the mean is over the prompts, as in the tables.
    mean, error = paired_difference([1.0, 1.0, 1.0, 5.0], [0.0] * 4, ["a", "a", "a", "b"])
    assert (mean, error) == pytest.approx((2.0, (2 * (3**2 + 3**2)) ** 0.5 / 4))


def test_a_single_image_has_no_error():
    assert paired_difference([1.0, 3.0], [0.0, 0.0], ["a", "a"]) == (2.0, None)
    assert paired_difference([1.0], [0.0], ["a"]) == (1.0, None)


def test_lists_of_different_length_are_a_defect():
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [1.0, 2.0], ["a"])


@given(VALUES)
def test_ranks_agree_with_scipy(values):
    assert ranks(values) == list(rankdata(values))


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=3, max_size=6))
def test_concordance_is_friedman_s_statistic_over_its_largest_value(rows):
    rankings = [ranks(row) for row in rows if len(set(row)) > 1]
    if len(rankings) > 2:
        expected = friedmanchisquare(*zip(*rankings, strict=True)).statistic / (len(rankings) * 3)
        assert concordance(rankings) == pytest.approx(expected)


def test_concordance_is_one_for_equal_rankings_and_zero_for_opposite_ones():
    assert concordance([[1, 2, 3], [1, 2, 3]]) == 1
    assert concordance([[1, 2, 3], [3, 2, 1]]) == 0
    assert concordance([[1.5, 1.5, 3], [1.5, 1.5, 3]]) == 1


def test_the_p_value_counts_images_and_looks_one_way():
    images = [f"{image}" for image in range(8) for _ in range(3)]
    above = [1.0 + image / 10 + prompt for image in range(8) for prompt in (-1.5, 0.0, 1.5)]
    nothing = [0.0] * len(above)
    # Every one of the eight images lies above, though not every prompt: one of 2⁸ ways to choose the signs.
    assert paired_p_value(above, nothing, images) == pytest.approx(2**-8)
    assert paired_p_value(nothing, above, images) == pytest.approx(1.0)


def test_the_p_value_weighs_the_size_of_differences():
    """Ranks of the positive differences sum to 14 of 15; of the 2⁵ sign patterns one reaches more, and one the same."""
    assert paired_p_value([-1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5, list("abcde")) == pytest.approx(2 / 32)


def test_where_nothing_differs_nothing_is_found():
    assert paired_p_value([0.5] * 6, [0.5] * 6, list("abcdef")) == 1.0


def test_corrected_p_values_are_those_of_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_corrected_p_values_lie_between_the_plain_and_bonferroni_s(p_values):
    for plain, corrected in zip(p_values, holm(p_values), strict=True):
        assert plain <= corrected <= min(1.0, len(p_values) * plain)
