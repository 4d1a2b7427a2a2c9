"""How many images run at once where memory is scarce. There is no GPU here: its free memory is what the test says."""

from dataclasses import replace

import pytest
import torch

from photoguard_eval.attacks import GradientAttack
from photoguard_eval.diffusion import load_architecture
from photoguard_eval.errors import ModelError
from photoguard_eval.pipeline import accounting, evaluation, worker
from photoguard_eval.pipeline.accounting import GIBIBYTE, AttackCost, EditCost, UncountableError, count_attack
from photoguard_eval.pipeline.device_memory import free_memory, is_out_of_memory
from photoguard_eval.pipeline.memory import HEADROOM, batch_sizes
from photoguard_eval.pipeline.plan import Plan, build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.store import Store
from tests.conftest import evaluate
from tests.pipeline.test_execution import pictures


@pytest.fixture
def plan(make_request):
    return build_plan(make_request())


def peak(plan, label):
    """What a step of an attack of the plan needs for one image, in bytes."""
    planned = plan.editors["inpaint"]
    (attack,) = [attack.instance for attack in plan.attacks if attack.label == label]
    model = load_architecture("inpaint-a")
    model.checkpoint_gradients(bool(plan.request.checkpointing))
    return count_attack(attack, model, planned.plugin.instance, planned.settings).peak_gib * GIBIBYTE


@pytest.fixture
def counted(monkeypatch):
    """Costs by decree, so that nothing is laid out: 4 GiB for the diffusion attack, 1 for others, 0.5 for edits."""

    def count(attack, model, editor, settings, size=None):
        if isinstance(attack, Deciding):
            raise UncountableError("it decides by values")
        peak = 4.0 if attack.name == "diffusion" else 1.0
        return AttackCost(steps=1, tflop_per_step=1, saved_gib=peak, peak_gib=peak, weights_gib=1)

    monkeypatch.setattr(accounting, "count_attack", count)
    monkeypatch.setattr(accounting, "count_edit", lambda *_: EditCost(tflop=1, peak_gib=0.5))


def by_name(sizes):
    """By label and editor of the row."""
    return {(row.label, row.editor): size for row, size in sizes.items()}


def usable(gibibytes):
    """Free bytes of which so much may be used."""
    return int(gibibytes * GIBIBYTE / (1 - HEADROOM)) + 1


def test_the_processor_s_memory_is_not_rationed():
    assert free_memory("cpu") is None


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [True, None])
def test_as_many_images_run_as_fit(make_request, checkpointing):
    """Activations are kept on a processor unless the request says otherwise, and are what is counted there."""
    plan = build_plan(make_request(checkpointing=checkpointing))
    free = 3.5 * peak(plan, "diffusion,steps=2") / (1 - HEADROOM)
    sizes = by_name(batch_sizes(plan, int(free)))
    assert sizes["diffusion,steps=2", "inpaint"].immunize == 3
    # Less memory for each, so that the request's own limit holds; noise needs no gradient.
    assert sizes["encoder,steps=4", "inpaint"].immunize > 3
    assert sizes["noise", "inpaint"].immunize == plan.request.batch_size
    assert {row[1] for row in sizes} == {"inpaint", "img2img"}
    assert {("original", "inpaint"), ("re-roll", "inpaint")} <= set(sizes)


def test_an_ensemble_needs_what_its_largest_member_does(make_request, counted):
    spec = "ensemble,attacks=encoder(steps=1)+diffusion(steps=1)"
    sizes = by_name(batch_sizes(build_plan(make_request(attacks=("noise", spec))), usable(9)))
    assert sizes[spec, "inpaint"].immunize == 2
    assert sizes[spec, "inpaint"].edit == 12


class Deciding(GradientAttack):
    name = "deciding"

    def objective(self, model, batch, generator):
        def loss(images):
            latents = model.encode(images).flatten(1)
            return latents.sum(dim=1) if bool(latents.sum() > 0) else -latents.sum(dim=1)

        return loss


def test_an_attack_that_decides_by_values_cannot_be_counted(plan):
    planned = plan.editors["inpaint"]
    with pytest.raises(UncountableError, match="decides by values of the model's output"):
        count_attack(Deciding(), load_architecture("inpaint-a"), planned.plugin.instance, planned.settings)


def test_what_cannot_be_counted_is_not_rationed(plan, counted):
    row = replace(plan.attack_rows[0], attack=replace(plan.attack_rows[0].attack, instance=Deciding()))
    sizes = by_name(batch_sizes(replace(plan, attack_rows=(row,)), 10 * GIBIBYTE))
    assert sizes["noise", "inpaint"].immunize == plan.request.batch_size


def test_too_little_memory_for_one_image_is_said_before_anything_runs(plan, counted):
    message = r"diffusion,steps=2 against inpaint needs about 4.0 GiB for one image of 64 × 64 .* and 3.0 GiB are free"
    with pytest.raises(ModelError, match=message):
        batch_sizes(plan, usable(3))


def test_edits_are_rationed_too(plan, counted):
    with pytest.raises(ModelError, match=r"An edit by inpaint needs about 0.5 GiB"):
        batch_sizes(plan, usable(0.4))


def test_an_evaluation_asks_for_the_memory_and_keeps_to_it(make_request, monkeypatch, tmp_path, counted):
    monkeypatch.setattr(worker, "free_memory", lambda device: usable(5))
    result = evaluate(make_request(attacks=("noise", "diffusion,steps=2")), tmp_path / "store")[1]
    sizes = {method.attack.name: method.cost.batch_size for method in result.attack_rows if method.editor == "inpaint"}
    assert sizes["diffusion"] == 1
    assert sizes["noise"] == 2


def test_a_large_model_keeps_to_the_memory_of_a_processor(make_request, monkeypatch, tmp_path, counted):
    monkeypatch.setattr(evaluation, "available_memory", lambda: usable(5))
    monkeypatch.setattr(Plan, "embedded_model", False)
    plan = build_plan(make_request(attacks=("noise", "diffusion,steps=2")))
    run = evaluation.Evaluation(plan, Store(tmp_path / "store"), Progress(quiet=True))
    batches = [len(batch) for batch in run._batches([row for row in plan.attack_rows if row.editor == "inpaint"])]
    assert batches == [2, 1, 1, 3, 3], "of both images at once by the noise, one by one by the diffusion attack"


def running_out(monkeypatch, fits):
    """Let edits of more images than fit run out of memory."""
    whole = worker.edit.run

    def run(work, *arguments):
        if len(work) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(work, *arguments)

    monkeypatch.setattr(worker.edit, "run", run)


def test_a_batch_that_is_too_large_goes_on_in_halves(make_request, monkeypatch, tmp_path, finished):
    running_out(monkeypatch, fits=1)
    result = evaluate(make_request(attacks=("noise",)), tmp_path / "store")[1]
    assert set(pictures(tmp_path / "store")) <= set(pictures(finished[0]))
    for own in result.attack_rows:
        # Sums of a batch of another size are rounded in another order.
        whole = finished[1].row("noise", own.editor)
        assert own.metrics["psnr"].mean == pytest.approx(whole.metrics["psnr"].mean, abs=0.5)


def test_memory_that_holds_no_image_is_an_error_and_what_was_finished_stays(make_request, monkeypatch, tmp_path):
    running_out(monkeypatch, fits=0)
    with pytest.raises(ModelError, match=r"does not hold 1 images at once. Run with a smaller --batch-size"):
        evaluate(make_request(attacks=("noise",)), tmp_path / "store")
    assert pictures(tmp_path / "store")


def test_an_attack_that_runs_out_of_memory_is_not_called_broken(monkeypatch, make_request, tmp_path):
    from photoguard_eval.attacks import EncoderAttack

    whole, sizes = EncoderAttack.perturb, []

    def perturb(self, model, batch, generator):
        sizes.append(len(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, model, batch, generator)

    monkeypatch.setattr(EncoderAttack, "perturb", perturb)
    result = evaluate(make_request(attacks=("encoder,steps=4",)), tmp_path / "store")[1]
    assert result.failures == ()
    assert sizes == [2, 2, 1, 1, 1, 1], "each of the two rows is tried once, and then goes on in halves"
    (cost,) = {method.cost.batch_size for method in result.attack_rows if method.attack.name == "encoder"}
    assert cost == 1


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    assert is_out_of_memory(torch.OutOfMemoryError("full"))
    assert not is_out_of_memory(RuntimeError("shape"))
