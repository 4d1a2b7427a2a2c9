"""What `check_purifier` finds, and that the package's own purifiers pass."""

import random

import pytest
import torch

from photoguard_eval import check_purifier
from photoguard_eval.errors import ConfigurationError, PluginError
from photoguard_eval.purifiers import PURIFIERS, BlurPurifier, NoisePurifier, Purifier


@pytest.mark.parametrize("name", list(PURIFIERS.classes()))
def test_the_package_s_own_pass(name):
    before = random.getstate(), torch.get_rng_state()
    assert check_purifier(PURIFIERS.find(name)) is None
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_arguments_instances_and_specs_are_taken():
    check_purifier(BlurPurifier, size=3)
    check_purifier(BlurPurifier(size=3))
    check_purifier("blur,size=3")
    with pytest.raises(ConfigurationError, match="size is 4"):
        check_purifier(BlurPurifier, size=4)
    with pytest.raises(ConfigurationError, match="has no argument sise"):
        check_purifier(BlurPurifier, sise=4)
    with pytest.raises(ConfigurationError, match="size cannot be given beside an instance"):
        check_purifier(BlurPurifier(), size=3)


def purifier(purify, **content):
    return type("Mine", (Purifier,), {"name": "mine", "differentiable": True, "purify": purify, **content})


def scaled(self, images, generators):
    return images * 0.5


def in_place(self, images, generators):
    return images.mul_(0.5) if not images.requires_grad else images * 0.5


def global_noise(self, images, generators):
    with torch.random.fork_rng(devices=[]):
        return (images + 0.1 * torch.rand(images.shape)).clamp(0, 1)


def leaking(self, images, generators):
    return (images * 0.5 + torch.rand(()) * 0).clamp(0, 1)


def over_the_batch(self, images, generators):
    return (images / images.max() * 0.5 + images.mean() * 0.1).clamp(0, 1)


def square_alone(self, images, generators):
    return images[..., : images.shape[-2]] * 0.5


class Forgetting(NoisePurifier):
    name = "forgetting"

    def __init__(self, *, amount: float = 0.1):
        super().__init__(deviation=amount)


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (purifier(lambda self, images: images), r"has purify\(images\), and is called as purify\(images, generators\)"),
        (purifier(lambda self, images, generators: images * 2), "returned values from 0 to"),
        (purifier(lambda self, images, generators: images[:, :1]), r"of shape \(2, 1, 64, 64\)\. Expected a floating"),
        (purifier(square_alone), r"of shape \(2, 3, 48, 48\)\. Expected .* \(2, 3, 48, 72\)"),
        (purifier(lambda self, images, generators: 1 / 0), "raised ZeroDivisionError"),
        (purifier(in_place), "changes the images that it is given"),
        (purifier(global_noise), "gives other images for the same seeds"),
        (purifier(leaking), "changed the global state of a random generator"),
        (purifier(over_the_batch), "lets an image depend on its neighbours"),
        (purifier(scaled, differentiable=False), "says differentiable = False, and a gradient passes"),
        (purifier(lambda self, images, generators: images.round()), "says differentiable = True, and no gradient"),
        (purifier(scaled, differentiable=None), "does not say whether it is differentiable"),
        (Forgetting, "does not keep its argument amount"),
        (7, "is no purifier"),
    ],
)
def test_what_breaks_the_contract_is_said(mine, message):
    with pytest.raises(PluginError, match=message):
        check_purifier(mine)
    check_purifier(purifier(scaled))
