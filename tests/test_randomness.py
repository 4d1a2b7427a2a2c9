import pytest
import torch

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.randomness import CaseGenerators, derive_seed


def test_seeds_are_the_same_everywhere_and_differ_by_use():
    assert derive_seed(0, "fox", "attack") == derive_seed(0, "fox", "attack") == 6335077031720891470
    assert len({derive_seed(seed, name, stage) for seed in (0, 1) for name in "ab" for stage in "xy"}) == 8


def test_an_image_s_numbers_do_not_depend_on_its_neighbours():
    like = torch.zeros(1)
    both = CaseGenerators.from_seeds([1, 2])
    alone = CaseGenerators.from_seeds([2])
    assert torch.equal(both.normal((3, 4), like)[1], alone.normal((3, 4), like)[0])
    assert torch.equal(both.uniform((3, 4), -1, 1, like)[1], alone.uniform((3, 4), -1, 1, like)[0])


def test_uniform_stays_in_its_range():
    values = CaseGenerators.from_seeds([0]).uniform((10_000,), -2, 3, torch.zeros(1))
    assert -2 <= values.min() < -1.9
    assert 2.9 < values.max() < 3


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64])
def test_what_no_generator_takes_is_no_seed(seed):
    with pytest.raises(ConfigurationError, match=f"The seed is {seed}; expected a whole number from 0 to 2⁶³ − 1"):
        CaseGenerators.from_seeds([0, seed])
