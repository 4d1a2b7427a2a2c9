"""What an attack leaves behind is found, put back, and its own error."""

import random

import pytest
import torch

from photoguard_eval.attacks import ATTACKS, Attack, AttackBatch, budget
from photoguard_eval.attacks.harness import immunize
from photoguard_eval.diffusion import CostMeter, EditSettings, InpaintEditor, LatentDiffusion
from photoguard_eval.diffusion.integrity import ModelState
from photoguard_eval.errors import AttackError, InterferenceError
from photoguard_eval.randomness import CaseGenerators
from tests.conftest import evaluate
from tests.tiny import half_masks, random_images, tiny_model


def run(attack, model):
    images = random_images(1)
    batch = AttackBatch(images, half_masks(1), None, ("fox",), InpaintEditor(), EditSettings())
    return immunize(attack, model, batch, CaseGenerators.from_seeds([0]), CostMeter(model))


def attack_that(change):
    class Plugin(Attack):
        name = "plugin"

        def perturb(self, model, batch, generator):
            change(model)
            return batch.images

    return Plugin()


def swap_weights(model):
    weight = model.unet.conv_in.weight
    weight.data = weight.data.flip(0)


def replace_class(model):
    model.unet.conv_in.__class__ = type("Conv2d", (torch.nn.Conv2d,), {})


def remove_hooks(model):
    for table in (model.unet._forward_pre_hooks, model.vae.encoder._forward_hooks):
        table.clear()


ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.unet.conv_in.weight.data.mul_(2), r"the weights unet\.conv_in\.weight"),
        (lambda model: model.vae.post_quant_conv.bias.detach().numpy().__iadd__(1), "the weights vae.post_quant_conv"),
        (swap_weights, r"the weights unet\.conv_in\.weight"),
        (lambda model: model.vae.encoder.requires_grad_(True), r"the weights vae\.encoder"),
        (lambda model: model.unet.train(), "the mode of unet"),
        (lambda model: model.unet.mid_block.register_forward_hook(lambda *_: None), r"a hook of unet\.mid_block"),
        (lambda model: model.text.encoders[0].register_forward_pre_hook(lambda *_: None), "a hook of text_encoder_0"),
        (lambda model: setattr(model.unet, "forward", model.unet.forward), r"unet\.forward"),
        (lambda model: setattr(model, "encode", model.encode), r"model\.encode"),
        (lambda model: dict.update(model._scheduler_config, beta_end=0.5), r"model\._scheduler_config"),
        (replace_class, r"the class of unet\.conv_in"),
        (lambda model: setattr(model.unet, "conv_in", torch.nn.Conv2d(9, 8, 3)), r"unet\.conv_in"),
        (lambda model: model.unet.get_submodule(ATTENTION).set_processor(object()), r"attn1\.processor"),
        (remove_hooks, "the hooks that count its cost"),
    ],
)
def test_a_changed_model_is_the_attack_s_error(change, message):
    with pytest.raises(InterferenceError, match=message):
        run(attack_that(change), tiny_model())


@pytest.mark.parametrize(
    ("change", "message", "read"),
    [
        (lambda _: torch.set_default_dtype(torch.float64), "the default dtype", torch.get_default_dtype),
        (lambda _: torch.set_grad_enabled(False), "whether gradients are computed", torch.is_grad_enabled),
        (lambda _: torch.set_num_threads(torch.get_num_threads() + 1), "number of threads", torch.get_num_threads),
        (
            lambda _: torch.use_deterministic_algorithms(True),
            "algorithms are deterministic",
            torch.are_deterministic_algorithms_enabled,
        ),
        (lambda _: torch.set_default_device("meta"), "the default device", torch.get_default_device),
        (lambda _: setattr(torch, "clamp", torch.abs), r"torch\.clamp", lambda: torch.clamp),
        (lambda _: setattr(torch.Tensor, "clamp", torch.abs), r"Tensor\.clamp", lambda: torch.Tensor.clamp),
        (lambda _: setattr(budget, "TOLERANCE_LEVELS", 255), "TOLERANCE_LEVELS", lambda: budget.TOLERANCE_LEVELS),
        (
            lambda _: setattr(budget, "measure_perturbation", None),
            "measure_perturbation",
            lambda: budget.measure_perturbation,
        ),
        (
            lambda _: setattr(LatentDiffusion, "decode", None),
            r"LatentDiffusion\.decode",
            lambda: LatentDiffusion.decode,
        ),
        (
            lambda model: setattr(type(model.unet), "forward", None),
            r"UNet2DConditionModel\.forward",
            lambda: type(tiny_model().unet).forward,
        ),
        (
            lambda _: torch.nn.modules.module.register_module_forward_hook(lambda *_: None),
            "the hooks of all modules",
            lambda: len(torch.nn.modules.module._global_forward_hooks),
        ),
    ],
)
def test_what_is_shared_by_all_attacks_is_put_back(change, message, read):
    before = read()
    with pytest.raises(InterferenceError, match=message):
        run(attack_that(change), tiny_model())
    assert read() == before


def test_an_attack_that_fails_is_held_to_it_too():
    def fail(model):
        torch.set_default_dtype(torch.float64)
        raise ZeroDivisionError("oh")

    with pytest.raises(InterferenceError, match=r"raised ZeroDivisionError: oh.*changed the default dtype"):
        run(attack_that(fail), tiny_model())
    assert torch.get_default_dtype() == torch.float32


def test_what_an_attack_draws_from_the_shared_generators_nobody_else_sees():
    import numpy as np

    def drawn():
        return torch.rand(3).tolist(), np.random.rand(), random.random()

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = drawn()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    run(attack_that(lambda _: (drawn(), torch.manual_seed(7))), tiny_model())
    assert drawn() == expected


def test_what_the_model_keeps_is_derived_anew():
    model = tiny_model()
    gray = model.posterior_of_gray(32, 32).mean.clone()

    def poison(model):
        model.posterior_of_gray(32, 32).mean.add_(1)
        model.scheduler(4).alphas_cumprod.mul_(0)
        model.__dict__["_scale_and_shift"] = (99.0, 0.0)

    run(attack_that(poison), model)
    assert torch.equal(model.posterior_of_gray(32, 32).mean, gray)
    assert model.scheduler(4).alphas_cumprod.min() > 0
    assert model.latent_scale < 99


@pytest.mark.parametrize(
    "spec", ["noise", "encoder,steps=1", "advpaint,steps=1", "diffusion,steps=1,denoising_steps=1"]
)
def test_attacks_of_the_package_leave_everything_as_it_was(spec):
    model = tiny_model()
    before = ModelState.of(model)
    run(ATTACKS.create(spec).instance, model)
    assert before.changes(ModelState.of(model)) == []


SABOTEUR = """
import piq
import torch
from photoguard_eval import Attack

class Saboteur(Attack):
    name = "saboteur"

    def perturb(self, model, batch, generator):
        for parameter in model.unet.parameters():
            parameter.data.mul_(0.9)
        model.vae.decoder.register_forward_hook(lambda module, inputs, output: output * 0)
        piq.ssim = piq.vif_p = lambda *arguments, **options: torch.ones(len(arguments[0]))
        torch.set_default_dtype(torch.float64)
        return batch.images
"""


def test_no_row_is_changed_by_an_attack_that_changes_everything(finished, make_request, tmp_path):
    (tmp_path / "saboteur.py").write_text(SABOTEUR)
    attacks = (f"{tmp_path / 'saboteur.py'}:Saboteur", "noise", "encoder,steps=4")
    _, result = evaluate(make_request(attacks=attacks), tmp_path / "store")
    (failure,) = result.failures
    assert "'saboteur' changed" in failure.error
    alone = finished[1]
    assert alone.failures == ()
    for method in result.attack_rows:
        assert method.metrics == alone.row(method.attack.label, method.editor).metrics
    assert [row.metrics for row in result.originals] == [row.metrics for row in alone.originals]


def test_an_error_names_a_few_of_many_changes():
    with pytest.raises(AttackError, match=r"changed the weights [^,]+, [^,]+, [^,]+ and \d+ more, which"):
        run(attack_that(lambda model: [weight.data.mul_(2) for weight in model.unet.parameters()]), tiny_model())
