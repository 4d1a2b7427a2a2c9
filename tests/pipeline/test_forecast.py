import json

import pytest

from photoguard_eval.app.main import main
from photoguard_eval.errors import AttackError
from photoguard_eval.pipeline import forecast as module
from photoguard_eval.pipeline.forecast import forecast
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.store import Store
from tests.conftest import evaluate

QUIET = Progress(quiet=True)


class Clock:
    """Time that passes with gradient steps and denoising steps alone: one second for each."""

    def __init__(self, monkeypatch):
        from photoguard_eval.attacks.encoder import EncoderAttack
        from photoguard_eval.diffusion import InpaintEditor

        self.now = 0.0
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)
        perturb, edit = EncoderAttack.perturb, InpaintEditor.edit

        def timed_perturb(attack, model, batch, generator):
            self.now += 5 + attack.steps
            return perturb(attack, model, batch, generator)

        def timed_edit(editor, model, images, masks, prompts, seeds, settings, originals=None):
            self.now += settings.num_inference_steps
            return edit(editor, model, images, masks, prompts, seeds, settings, originals)

        monkeypatch.setattr(EncoderAttack, "perturb", timed_perturb)
        monkeypatch.setattr(InpaintEditor, "edit", timed_edit)


def test_what_a_batch_takes_is_extrapolated_to_all_steps(make_request, tmp_path, monkeypatch):
    plan = build_plan(make_request(attacks=("encoder,steps=40",), settings={"num_inference_steps": "30"}))
    Clock(monkeypatch)
    predicted = forecast(plan, Store(tmp_path / "store"), QUIET)
    seconds = {(stage.stage, stage.row, stage.editor): stage.seconds for stage in predicted.stages}
    assert seconds["immunize", "encoder,steps=40", "inpaint"] == pytest.approx(45)
    assert seconds["edit", "original", "inpaint"] == pytest.approx(30)
    assert seconds["edit", "re-roll", "inpaint"] == pytest.approx(30)
    assert seconds["edit", "encoder,steps=40", "inpaint"] == pytest.approx(30)
    # The variations are edited by an editor whose time stands still here.
    assert predicted.seconds == pytest.approx(45 * 2 + 30 * 3)
    assert predicted.peak_memory_mib > 100


def test_a_finished_evaluation_takes_nothing(make_request, finished):
    folder, _ = finished
    predicted = forecast(build_plan(make_request()), Store(folder), QUIET)
    assert predicted.stages == ()
    assert predicted.seconds == 0


def test_an_added_attack_takes_its_own_cells(make_request, finished):
    folder, _ = finished
    plan = build_plan(make_request(attacks=("noise", "encoder,steps=4", "encoder,steps=5")))
    before = sorted(folder.rglob("*"))
    predicted = forecast(plan, Store(folder), QUIET)
    assert {stage.row for stage in predicted.stages if stage.stage in ("immunize", "edit")} == {"encoder,steps=5"}
    assert {stage.images for stage in predicted.stages if stage.stage == "immunize"} == {2}
    assert {stage.images for stage in predicted.stages if stage.stage == "edit"} == {3}
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
def test_an_ensemble_is_shortened_by_its_members(make_request, tmp_path, monkeypatch):
    from photoguard_eval.attacks.encoder import EncoderAttack

    plan = build_plan(make_request(attacks=("ensemble,attacks=encoder(steps=50)+noise,trials=1,denoising_steps=1",)))
    steps, perturb = [], EncoderAttack.perturb
    monkeypatch.setattr(
        EncoderAttack,
        "perturb",
        lambda attack, *arguments: (steps.append(attack.steps), perturb(attack, *arguments))[1],
    )
    forecast(plan, Store(tmp_path / "store"), QUIET)
    assert set(steps) == {1, 3}
    assert plan.attacks[0].instance.members[0].instance.steps == 50


def test_an_attack_that_fails_is_said_before_the_run(make_request, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from photoguard_eval import Attack\n\nclass Bad(Attack):\n    name = 'bad'\n\n"
        "    def perturb(self, model, batch, generator):\n        return batch.images + 1\n"
    )
    plan = build_plan(make_request(attacks=(f"{tmp_path / 'bad.py'}:Bad",)))
    with pytest.raises(AttackError, match=r"^bad: dog"):
        forecast(plan, Store(tmp_path / "store"), QUIET)


@pytest.mark.slow
def test_a_forecast_comes_true(make_request, tmp_path):
    """Measured: within 20 %, see docs/speed.md; here machines may be busy with something else while one is made."""
    request = make_request(attacks=("noise", "encoder,steps=100", "diffusion,steps=12"), preset="ci")
    before = forecast(build_plan(request), Store(tmp_path / "before"), QUIET)
    _, result = evaluate(request, tmp_path / "store")
    after = forecast(build_plan(request), Store(tmp_path / "after"), QUIET)
    errors = [abs(predicted.seconds / result.provenance.seconds - 1) for predicted in (before, after)]
    assert min(errors) < 0.4, errors


@pytest.mark.slow
def test_the_command_prints_what_a_run_would_take(small_dataset, tmp_path, capsys):
    arguments = ["plan", "--preset", "smoke", "--dataset", str(small_dataset), "--attack", "noise", "--quiet"]
    store = ["--store", str(tmp_path / "store")]
    assert main([*arguments, *store, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["seconds"] == pytest.approx(sum(stage["seconds"] for stage in printed["stages"]))
    assert {stage["stage"] for stage in printed["stages"]} == {"load", "immunize", "edit", "score"}
    assert main([*arguments, *store]) == 0
    assert "minutes in one process" in capsys.readouterr().out
