import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from photoguard_eval.evaluation.statistics import paired_difference, quantile, summarize

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(VALUES)
def test_summaries_agree_with_numpy(values):
    summary = summarize(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert summary.std == pytest.approx(np.std(values, ddof=1) if len(values) > 1 else 0, abs=1e-5)
    quartiles = (summary.first_quartile, summary.median, summary.third_quartile)
    assert quartiles == pytest.approx(tuple(np.percentile(values, [25, 50, 75])), abs=1e-6)


@given(VALUES, st.floats(0, 1))
def test_quantiles_agree_with_numpy(values, share):
    assert quantile(sorted(values), share) == pytest.approx(np.quantile(values, share), abs=1e-6)


def test_a_paired_difference_uses_pairs():
    mean, error = paired_difference([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])
    assert (mean, error) == (1.0, 0.0)
    mean, error = paired_difference([1.0, 2.0, 4.0], [0.0, 1.0, 2.0])
    assert mean == pytest.approx(4 / 3)
    assert error == pytest.approx(np.std([1, 1, 2], ddof=1) / 3**0.5)


def test_lists_of_different_length_are_a_defect():
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [1.0, 2.0])
