import numpy as np
import pytest
import torch

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics import METRICS


def draw(count, seed, shift=0.0):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)) + shift


def kid(edited, reference):
    return METRICS.create("kid").instance.compute(edited, reference)


@pytest.mark.parametrize("count", [2, 4, 20])
def test_kid_agrees_with_its_definition(count):
    x, y = draw(count, 0), draw(count, 1, shift=0.3)

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def off_diagonal_mean(matrix):
        return (matrix.sum() - np.trace(matrix)) / (count * (count - 1))

    a, b = (features.double().numpy() for features in (x, y))
    expected = off_diagonal_mean(kernel(a, a)) + off_diagonal_mean(kernel(b, b)) - 2 * kernel(a, b).mean()
    assert kid(y, x) == pytest.approx(expected, rel=1e-9)


def test_kid_is_unbiased():
    """FID of samples of one distribution is above zero on average; KID is not."""
    values = [kid(draw(10, seed), draw(10, seed + 1000)) for seed in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_kid_is_deterministic_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert kid(draw(20, 0), draw(20, 1)) == kid(draw(20, 0), draw(20, 1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_sets_of_different_sizes_are_refused():
    with pytest.raises(MetricError, match="sets of 20 and 30 images"):
        kid(draw(20, 0), draw(30, 1))
