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
    x, y = (draw(count, 0).double().numpy(), draw(count, 1, shift=0.3).double().numpy())

    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    expected = sum(
        kernel(x[i], x[j]) + kernel(y[i], y[j]) - kernel(x[i], y[j]) - kernel(x[j], y[i])
        for i in range(count)
        for j in range(count)
        if i != j
    ) / (count * (count - 1))
    assert kid(torch.from_numpy(y), torch.from_numpy(x)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("likeness", [0.0, 0.9, 1.0])
def test_kid_is_unbiased_however_alike_the_pairs_are(likeness):
    """Both sets have one distribution; an edit is as like its original's as an attack leaves it."""
    values = []
    for seed in range(400):
        reference, other = draw(10, seed), draw(10, seed + 1000)
        values.append(kid(likeness * reference + (1 - likeness**2) ** 0.5 * other, reference))
    assert abs(np.mean(values)) <= 3 * np.std(values) / np.sqrt(len(values)) + 1e-9


def test_kid_grows_with_the_distance():
    values = [np.mean([kid(draw(10, seed, shift), draw(10, seed)) for seed in range(20)]) for shift in (0, 0.5, 1)]
    assert values == sorted(values)
    assert values[1] > 0.1


def test_kid_is_deterministic_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert kid(draw(20, 0), draw(20, 1)) == kid(draw(20, 0), draw(20, 1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_sets_of_different_sizes_are_refused():
    with pytest.raises(MetricError, match="sets of 20 and 30 images"):
        kid(draw(20, 0), draw(30, 1))


def test_it_is_left_out_where_its_spread_is_larger_than_its_value():
    metric = METRICS.classes()["kid"]
    assert [count for count in (2, 12, 47, 48, 60) if not metric.needs_more(count)] == [48, 60]
    assert not METRICS.classes()["fid"].needs_more(2), "FID is the paper's, and shown"
