"""What memory whoever computes takes, before anything is loaded."""

import subprocess
import sys

import pytest

from photoguard_eval import resources
from photoguard_eval.attacks import ATTACKS
from photoguard_eval.diffusion import editors_for, identify_model, load_architecture
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.pipeline import accounting, footprint, memory
from photoguard_eval.pipeline.accounting import (
    AttackCost,
    EditCost,
    UncountableError,
    count_attack,
    count_edit,
    weights_size,
)
from photoguard_eval.pipeline.executors.resources import GIBIBYTE
from photoguard_eval.pipeline.footprint import DENOISING_STEP, EDIT, EMBEDDED_WEIGHTS, GRADIENT, MEBIBYTE, PROCESS
from photoguard_eval.pipeline.memory import HEADROOM, batch_sizes, count_peaks, counted_parts
from photoguard_eval.pipeline.plan import Plan, build_plan
from photoguard_eval.pipeline.presets import find_preset


def of(plan):
    return footprint.footprint(plan, lambda: count_peaks(plan))


@pytest.fixture
def nothing_laid_out(monkeypatch):
    monkeypatch.setattr(memory, "load_architecture", None)


@pytest.fixture
def counted(monkeypatch):
    """Costs by decree: 4 GiB for the diffusion attack, 1 for others, 0.5 for edits."""

    def count(attack, *_):
        return AttackCost(1, 1, 1, 4.0 if attack.name == "diffusion" else 1.0, 1)

    monkeypatch.setattr(accounting, "count_attack", count)
    monkeypatch.setattr(accounting, "count_edit", lambda *_: EditCost(1, 0.5))


@pytest.mark.parametrize(
    ("attacks", "image"),
    [
        (("noise",), EDIT),
        (("noise", "encoder"), GRADIENT),
        (("diffusion,denoising_steps=4",), EDIT + 4 * DENOISING_STEP),
        (("encoder", "diffusion,denoising_steps=9"), EDIT + 9 * DENOISING_STEP),
        (("ensemble,attacks=noise+encoder(steps=1)",), GRADIENT),
        (("eot,attack=encoder(steps=1),purifiers=jpeg",), 2 * GRADIENT),
    ],
)
def test_an_embedded_model_s_need_is_looked_up(make_request, nothing_laid_out, attacks, image):
    needed = of(build_plan(make_request(attacks=attacks, batch_size=3)))
    assert needed.process == PROCESS + EMBEDDED_WEIGHTS
    assert needed.image == pytest.approx(image / (1 - HEADROOM))
    assert (needed.others, needed.fewest, needed.most) == (0, 3, 3)


def test_half_precision_takes_half_of_it(make_request, nothing_laid_out):
    whole, half = (of(build_plan(make_request(dtype=dtype))).image for dtype in ("float32", "bfloat16"))
    assert half == whole / 2


def test_an_attack_of_others_has_a_process_of_its_own(make_request, project, nothing_laid_out):
    options = {"attacks": ("mine:Mine,extra=data/extra.txt",)}
    apart = of(build_plan(make_request(**options)))
    assert apart.others == apart.process
    assert apart.image == pytest.approx((EDIT + 4 * DENOISING_STEP) / (1 - HEADROOM)), "nobody knows what it takes"
    assert of(build_plan(make_request(**options, attack_memory=500))).others == 500 * MEBIBYTE
    assert of(build_plan(make_request(**options, trusted=True))).others == 0


def test_another_model_s_need_is_counted_and_its_images_are_rationed_by_it(make_request, monkeypatch, counted):
    monkeypatch.setattr(Plan, "embedded_model", False)
    plan = build_plan(make_request())
    needed = of(plan)
    assert needed.process == pytest.approx(PROCESS + weights_size(load_architecture("inpaint-a")) * GIBIBYTE)
    assert needed.image == pytest.approx(4 * GIBIBYTE / (1 - HEADROOM))
    assert (needed.fewest, needed.most) == (1, 12)
    sizes = batch_sizes(plan, int(3 * needed.image) + 1)
    assert min(size.immunize for size in sizes.values()) == 3


def test_the_need_is_known_without_loading_what_computes():
    code = (
        "import sys\n"
        "from photoguard_eval.pipeline.footprint import footprint\n"
        "from photoguard_eval.pipeline.plan import build_plan\n"
        "from photoguard_eval.pipeline.request import EvaluationRequest\n"
        "footprint(build_plan(EvaluationRequest()), None)\n"
        "print({'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(resources.embedded_checkpoints()))
def test_what_is_looked_up_is_what_is_counted_at_most(name):
    identity, model, preset = identify_model(name), load_architecture(name), find_preset("ci")
    assert weights_size(model) * GIBIBYTE < EMBEDDED_WEIGHTS
    specs = [attack for attack in ATTACKS.classes() if attack not in ("folder", "ensemble")]
    specs += ["diffusion,denoising_steps=1", "diffusion,denoising_steps=8", "diffusion,repetitions=4"]
    specs += ["eot,attack=diffusion(steps=1),purifiers=blur"]
    attacks = [ATTACKS.create(spec).instance for spec in specs]
    compared = 0
    for factory in editors_for(identity.kind):
        editor, settings = factory(), preset.settings(factory.name, identity, {})
        assert count_edit(model, editor, settings).peak_gib * GIBIBYTE < EDIT
        for attack in attacks:
            most = footprint._on_embedded_model(attack)
            for part in counted_parts(attack):
                try:
                    peak = count_attack(part, model, editor, settings).peak_gib * GIBIBYTE
                except (UncountableError, ConfigurationError):
                    continue
                assert peak < most, (name, factory.name, attack.name)
                compared += 1
    assert compared > 20
