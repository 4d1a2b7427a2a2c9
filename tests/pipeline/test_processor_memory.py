"""What does not fit into the memory is refused before the work, on a processor too."""

import pytest

from photoguard_eval.attacks import AttackBatch, EncoderAttack, NoiseAttack
from photoguard_eval.diffusion import EDITORS, CostMeter, EditSettings, identify_model, load_model
from photoguard_eval.errors import ModelError
from photoguard_eval.pipeline import accounting, processor_memory
from photoguard_eval.pipeline.accounting import AttackCost, EditCost
from photoguard_eval.pipeline.processor_memory import Workload, available_memory, needed_memory, require_memory
from photoguard_eval.pipeline.steps.keys import Editing, Placement
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import random_images

PHONE = (3024, 4032)


@pytest.fixture
def editing():
    model, editor = identify_model("inpaint-a"), EDITORS.create("img2img")
    return Editing(model, Placement("float32"), editor, EditSettings())


@pytest.fixture
def counted(monkeypatch):
    """Costs by decree: a gibibyte for every megapixel. Nothing is laid out."""
    monkeypatch.setattr(
        accounting, "count_attack", lambda *inputs, at_once: AttackCost(1, 1, 1, inputs[-1] ** 2 / 1e6 * at_once, 1)
    )
    monkeypatch.setattr(accounting, "count_edit", lambda *inputs: EditCost(1, inputs[-1] ** 2 / 1e6))


@pytest.fixture
def free(monkeypatch):
    def be(gibibytes):
        monkeypatch.setattr(processor_memory, "available_memory", lambda: int(gibibytes * 2**30))

    return be


@pytest.mark.parametrize(("attack", "what"), [(EncoderAttack(), "The attack encoder"), (None, "An edit")])
def test_a_phone_s_photograph_is_refused_with_what_it_takes(editing, counted, free, attack, what):
    workload = Workload(editing, attack)
    free(15.5)
    with pytest.raises(
        ModelError, match=rf"{what} with inpaint-a takes about 14\.\d GiB .* IMG\.jpg of 4032 × 3024, and 13\.2"
    ):
        require_memory(workload, {"small.png": (64, 64), "IMG.jpg": PHONE})
    free(18)
    require_memory(workload, {"small.png": (64, 64), "IMG.jpg": PHONE})


def test_edits_that_run_at_once_count_together(editing, counted):
    one, twelve = (needed_memory(Workload(editing, EncoderAttack(), at_once=count), PHONE) for count in (1, 12))
    assert twelve == pytest.approx(12 * one, rel=0.05)


def test_what_every_machine_holds_is_not_counted(editing, free, monkeypatch):
    monkeypatch.setattr(processor_memory, "load_architecture", None)
    free(0)
    require_memory(Workload(editing, EncoderAttack()), {"a.png": (64, 64), "b.png": (160, 128)})
    require_memory(Workload(editing, NoiseAttack()), {"IMG.jpg": PHONE})


def test_the_least_of_machine_and_control_groups_is_left(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    monkeypatch.setattr(processor_memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(processor_memory, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(processor_memory, "OWN_GROUPS", tmp_path / "own")
    assert available_memory() == 5000 * 1024
    group = tmp_path / "jobs" / "mine"
    group.mkdir(parents=True)
    (tmp_path / "own").write_text("1:cpu:/elsewhere\n0::/jobs/mine\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("100\n")
    assert available_memory() == 5000 * 1024
    (group.parent / "memory.max").write_text("4000\n")
    (group.parent / "memory.current").write_text("3000\n")
    assert available_memory() == 1000
    (group.parent / "memory.stat").write_text("anon 2500\ninactive_file 500\n")
    assert available_memory() == 1500


@pytest.mark.slow
def test_the_forecast_is_what_a_step_takes(editing):
    attack = EncoderAttack(steps=1)
    side = 512
    forecast = needed_memory(Workload(editing, attack), (side, side)) / 2**20
    model = load_model("inpaint-a")
    images = random_images(1, side=side)
    batch = AttackBatch(images, images[:, :1] * 0, None, ("a",), editing.editor.instance, editing.settings)
    with CostMeter(model) as meter:
        attack.perturb(model, batch, CaseGenerators.from_seeds([0]))
    assert forecast / 1.5 < meter.peak_memory_mib < forecast * 1.5
