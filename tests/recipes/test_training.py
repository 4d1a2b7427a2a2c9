import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from recipes.emoji_scenes.training import LOG, RECORD, Settings, step_generator, train

SETTINGS = Settings(steps=12, batch_size=4, learning_rate=0.1, warmup=2, decay=4, seed=3, average=0.9)


class InterruptionError(Exception):
    pass


class Line:
    """A line through noisy points; stops at a step if it is told to."""

    def __init__(self, stop_at=None):
        self.modules = nn.ModuleDict({"line": nn.Linear(1, 1)})
        with torch.no_grad():
            for parameter in self.modules.parameters():
                parameter.zero_()
        self.stop_at = stop_at

    def losses(self, step):
        if step == self.stop_at:
            raise InterruptionError
        generator = step_generator(SETTINGS.seed, step)
        x = torch.randn(SETTINGS.batch_size, 1, generator=generator)
        y = 3 * x - 1 + 0.1 * torch.randn(x.shape, generator=generator)
        return {"loss": (self.modules["line"](x) - y).square().mean()}

    def draw_grid(self, path):
        path.write_bytes(b"")

    def weights(self):
        return [parameter.detach().clone() for parameter in self.modules.parameters()]


@pytest.fixture(autouse=True)
def saved_at_every_step(monkeypatch):
    monkeypatch.setattr("recipes.emoji_scenes.training.SAVE_EVERY_SECONDS", -1)
    monkeypatch.setattr("recipes.emoji_scenes.training.LOG_EVERY", 1)


@pytest.mark.parametrize("stop_at", [1, 5, 11])
def test_an_interrupted_training_ends_with_the_same_weights_and_log(tmp_path, stop_at):
    whole = Line()
    train(whole, SETTINGS, tmp_path / "whole")
    with pytest.raises(InterruptionError):
        train(Line(stop_at), SETTINGS, tmp_path / "parts")
    resumed = Line()
    train(resumed, SETTINGS, tmp_path / "parts")
    assert all(torch.equal(*pair) for pair in zip(whole.weights(), resumed.weights(), strict=True))
    logs = [(tmp_path / name / LOG).read_text().splitlines() for name in ("whole", "parts")]
    losses = [[(line["step"], line["loss"]) for line in map(json.loads, log)] for log in logs]
    assert losses[0] == losses[1]
    assert [step for step, _ in losses[0]] == list(range(1, 13))


def test_a_finished_training_is_not_repeated(tmp_path):
    first = Line()
    train(first, SETTINGS, tmp_path)
    second = Line(stop_at=0)
    train(second, SETTINGS, tmp_path)
    assert all(torch.equal(*pair) for pair in zip(first.weights(), second.weights(), strict=True))


def test_a_training_can_be_made_longer_before_its_rate_falls(tmp_path):
    with pytest.raises(InterruptionError):
        train(Line(stop_at=6), SETTINGS, tmp_path / "longer")
    longer = replace(SETTINGS, steps=20)
    train(resumed := Line(), longer, tmp_path / "longer")
    train(whole := Line(), longer, tmp_path / "whole")
    assert all(torch.equal(*pair) for pair in zip(whole.weights(), resumed.weights(), strict=True))


def test_a_checkpoint_that_was_being_put_in_place_is_found(tmp_path):
    with pytest.raises(InterruptionError):
        train(Line(stop_at=5), SETTINGS, tmp_path)
    (tmp_path / "state").rename(tmp_path / "state.previous")
    train(resumed := Line(), SETTINGS, tmp_path)
    train(whole := Line(), SETTINGS, tmp_path / "whole")
    assert all(torch.equal(*pair) for pair in zip(whole.weights(), resumed.weights(), strict=True))


def test_the_averaged_weights_are_what_is_left_and_the_record_says_how(tmp_path):
    slow, fast = Line(), Line()
    train(slow, replace(SETTINGS, average=0.999), tmp_path / "slow")
    train(fast, replace(SETTINGS, average=0.0), tmp_path / "fast")
    assert not torch.equal(slow.weights()[0], fast.weights()[0])
    record = json.loads((tmp_path / "slow" / RECORD).read_text())
    assert record["settings"]["average"] == 0.999
    assert record["settings"]["steps"] == 12
    assert record["threads"] == [torch.get_num_threads()]
