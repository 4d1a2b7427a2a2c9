"""What `check_attack` finds, and that the package's own attacks pass."""

from pathlib import Path

import pytest
import torch

from photoguard_eval import Attack, check_attack
from photoguard_eval.attacks import ATTACKS, EncoderAttack, NoiseAttack
from photoguard_eval.errors import ConfigurationError, PluginError
from tests.tiny import tiny_model

QUICK = {"noise", "encoder"}
OF_OTHER_IMAGES = {"folder"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in ATTACKS.classes()
        if name not in OF_OTHER_IMAGES
    ],
)
def test_the_package_s_own_pass(name):
    assert check_attack(ATTACKS.find(name)) is None


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def attack(perturb, **content):
    return type("Mine", (Attack,), {"name": "mine", "__module__": __name__, "perturb": perturb, **content})


def unchanged(self, model, batch, generator):
    return batch.images


def global_noise(self, model, batch, generator):
    return (batch.images + torch.rand_like(batch.images) / 255).clamp(0, 1)


def over_the_batch(self, model, batch, generator):
    return (batch.images + batch.images.mean().round(decimals=2) * 10 / 255).clamp(0, 1)


def far(self, model, batch, generator):
    return (batch.images + 0.5).clamp(0, 1)


def training(self, model, batch, generator):
    model.unet.train()
    return batch.images


def square_alone(self, model, batch, generator):
    return batch.images[..., : batch.images.shape[-2]]


class Counting(Attack):
    name = "counting"
    calls = 0

    def perturb(self, model, batch, generator):
        self.calls += 1
        return (batch.images + min(self.calls, 9) / 255).clamp(0, 1)


class Forgetting(NoiseAttack):
    name = "forgetting"

    def __init__(self, *, amount: int = 1):
        super().__init__()


def refuses(self, model, editor, sizes):
    raise ConfigurationError("no editor will do")


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (
            attack(lambda self, model, images: images),
            r"has perturb\(model, images\), and is called as",
        ),
        (attack(global_noise), "gives other images for the same seeds under inpaint"),
        (Counting, "gives other images for the same seeds under inpaint"),
        (attack(over_the_batch), "lets an image depend on its neighbours"),
        (attack(far), "first"),
        (attack(training), "changed the mode of unet"),
        (attack(lambda self, model, batch, generator: 1 / 0), "raised ZeroDivisionError"),
        (attack(square_alone), r"returned .*\(2, 3, 64, 64\); expected .*\(2, 3, 64, 96\)"),
        (attack(unchanged, require_support=refuses), "supports no editor of this model: no editor will do"),
        (Forgetting, "does not keep its argument amount"),
        (NoiseAttack().perturb, "is no attack"),
    ],
)
def test_what_breaks_the_contract_is_said(mine, message, model):
    with pytest.raises((PluginError, ConfigurationError), match=message):
        check_attack(mine, model=model)


def test_what_keeps_the_contract_passes_and_is_shortened(model, monkeypatch):
    steps = []
    perturb = EncoderAttack.perturb

    def noting(self, model, batch, generator):
        steps.append(self.steps)
        return perturb(self, model, batch, generator)

    monkeypatch.setattr(EncoderAttack, "perturb", noting)
    assert check_attack(EncoderAttack, model=model) is None
    assert check_attack(EncoderAttack, model=model, steps=1, target="zero") is None
    assert set(steps) == {1, 2}
    assert check_attack(attack(unchanged), model=model) is None


def test_the_example_package_passes(model):
    example = Path(__file__).resolve().parents[2] / "examples" / "checkerboard-attack" / "checkerboard_attack.py"
    assert check_attack(f"{example}:CheckerboardAttack", model=model) is None
