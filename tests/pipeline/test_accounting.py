"""Costs that are counted without running: against known sizes, against what runs, and against what is published."""

import json
from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from photoguard_eval.app.main import main
from photoguard_eval.attacks import ATTACKS
from photoguard_eval.diffusion import EDITORS, EditSettings, load_architecture, load_model, published_architectures
from photoguard_eval.diffusion.checkpoints.hub import PUBLISHED
from photoguard_eval.errors import ConfigurationError, UnknownNameError
from photoguard_eval.pipeline.accounting import GIBIBYTE, Account, count_attack, count_edit, example_batch
from photoguard_eval.purifiers import PURIFIERS
from photoguard_eval.randomness import CaseGenerators

INPAINTING = "stable-diffusion-v1-5/stable-diffusion-inpainting"
TEXT_TO_IMAGE = "stable-diffusion-v1-5/stable-diffusion-v1-5"
XL = "stabilityai/stable-diffusion-xl-base-1.0"
XL_INPAINTING = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
GRADIENT_ATTACKS = (
    "encoder", "diffusion,denoising_steps=2", "advdm", "mist", "sds", "ace", "pid", "diffusionguard", "advpaint",
    "dayn", "blurguard", "eot",
)  # fmt: skip


def editor(name="inpaint"):
    return EDITORS.create(name).instance


def attack(spec):
    return ATTACKS.create(spec).instance


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_published_model_is_described():
    assert set(published_architectures()) == set(PUBLISHED)


@pytest.mark.parametrize(
    ("name", "unet", "text_encoder"),
    [
        # As the checkpoints' safetensors headers count them.
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", 859_520_964, 123_060_480),
        (INPAINTING, 859_535_364, 123_060_480),
        ("sd2-community/stable-diffusion-2-inpainting", 865_925_124, 340_387_840),
        ("stabilityai/sd-turbo", 865_910_724, 340_387_840),
        ("timbrooks/instruct-pix2pix", 859_532_484, 123_060_480),
        ("stabilityai/stable-diffusion-xl-base-1.0", 2_567_463_684, 123_060_480 + 694_659_840),
    ],
)
def test_architectures_have_the_published_number_of_parameters(name, unet, text_encoder):
    model = load_architecture(name)
    assert parameters(model.unet) == unet
    assert sum(parameters(encoder) for encoder in model.text.encoders) == text_encoder
    assert parameters(model.vae) == 83_653_863
    assert model.native_size == (1024 if "xl" in name else 512)
    assert model.is_inpainting == name.endswith("inpainting")


def test_an_architecture_takes_no_memory_and_leaves_the_default_type():
    model = load_architecture("stabilityai/sd-turbo", dtype="float16")
    assert model.dtype == torch.float16
    assert {type(parameter.data).__name__ for parameter in model.unet.parameters()} == {"FakeTensor"}
    assert torch.get_default_dtype() == torch.float32


def test_an_unknown_model_or_type_is_refused():
    with pytest.raises(UnknownNameError, match="inpaint-a"):
        load_architecture("inpaint-b2")
    with pytest.raises(ConfigurationError, match="float8"):
        load_architecture("inpaint-a", dtype="float8")


def test_operations_are_counted_as_by_torch():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.Flatten(), torch.nn.Linear(392, 5))
    images = torch.rand(2, 3, 16, 16)
    with Account([]) as account:
        network(images).sum().backward()
    with FlopCounterMode(display=False) as counter:
        network(images).sum().backward()
    assert account.flop == counter.get_total_flops() > 0


def test_attention_is_two_products_forward_and_five_backward():
    query, key, value = (torch.rand(2, 3, 64, 16, requires_grad=True) for _ in range(3))
    product = 2 * 2 * 3 * 64 * 64 * 16
    with Account([]) as account:
        attended = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        assert account.flop == 2 * product
        attended.sum().backward()
    assert account.flop == 7 * product


def test_memory_is_what_is_alive():
    weight = torch.ones(256, 256)
    with Account([weight]) as account:
        first = torch.ones(1024, 1024)
        assert account.allocated == first.nbytes
        second = first + 1
        view, transposed = second[:2], weight.t()
        assert account.allocated == 2 * first.nbytes
        del second
        assert account.allocated == 2 * first.nbytes
        del view
        assert account.allocated == first.nbytes
        del transposed
    assert account.peak == 2 * first.nbytes


def test_what_is_counted_without_weights_is_what_runs():
    shadow, model = load_architecture("inpaint-a"), load_model("inpaint-a")
    for spec in ("encoder", "diffusion"):
        counted = count_attack(attack(spec), shadow, editor(), EditSettings())
        batch = example_batch(model, editor(), EditSettings(), model.native_size)
        loss = attack(spec).objective(model, batch, CaseGenerators.from_seeds([0]))
        image = batch.images.requires_grad_(True)
        with Account([]) as account:
            torch.autograd.grad(loss(image).sum(), image)
        assert counted.tflop_per_step * 1e12 == account.flop
    weights = sum(parameters(part) for part in (model.vae, model.unet, *model.text.encoders)) * 4
    assert counted.weights_gib == pytest.approx(weights / GIBIBYTE, rel=1e-3)


def test_an_edit_is_counted_step_by_step():
    model = load_architecture("inpaint-a")
    for name in ("inpaint", "img2img"):
        settings = EditSettings(num_inference_steps=10)
        batch = example_batch(model, editor(name), settings, model.native_size)
        with Account([]) as account:
            editor(name).edit(model, batch.images, batch.masks, [""], [0], settings)
        assert count_edit(model, editor(name), settings).tflop * 1e12 == pytest.approx(account.flop, rel=1e-9)


def test_checkpointing_computes_more_and_keeps_less():
    model = load_architecture("inpaint-a")
    costs = []
    for enabled in (False, True):
        model.checkpoint_gradients(enabled)
        costs.append(count_attack(attack("diffusion"), model, editor(), EditSettings()))
    assert 1.2 < costs[1].tflop_per_step / costs[0].tflop_per_step < 1.5
    assert costs[1].saved_gib < 0.5 * costs[0].saved_gib


def test_checkpointing_leaves_the_gradient_as_it_is():
    gradients = []
    for enabled in (False, True):
        model = load_model("inpaint-a", checkpointing=enabled)
        batch = example_batch(model, editor(), EditSettings(), model.native_size)
        loss = attack("diffusion").objective(model, batch, CaseGenerators.from_seeds([0]))
        image = batch.images.requires_grad_(True)
        gradients.append(torch.autograd.grad(loss(image).sum(), image)[0])
    assert torch.equal(*gradients)


def test_attacks_without_gradient_steps_are_refused():
    for spec in ("noise", "ensemble"):
        with pytest.raises(ConfigurationError, match="takes no gradient steps of its own"):
            count_attack(attack(spec), load_architecture("inpaint-a"), editor(), EditSettings())


def test_what_an_attack_cannot_work_with_is_refused():
    with pytest.raises(ConfigurationError, match="first step does not see the image"):
        count_attack(attack("diffusionguard"), load_architecture("stabilityai/sd-turbo"), editor(), EditSettings())


def test_an_editor_that_does_not_run_on_the_model_is_refused():
    model = load_architecture("timbrooks/instruct-pix2pix")
    message = r"The editor 'inpaint' runs on .* Use instruct"
    with pytest.raises(ConfigurationError, match=message):
        count_attack(attack("encoder"), model, editor(), EditSettings())
    with pytest.raises(ConfigurationError, match=message):
        count_edit(model, editor(), EditSettings())


@pytest.mark.slow
def test_the_command_counts_stable_diffusion(capsys):
    """Figures for the paper's attack at 512 pixels: 122 TFLOP a step of ten repetitions, 164 with checkpointing."""
    assert main(["cost", "--model", INPAINTING, "--dtype", "float16", "--repetitions", "10", "--json"]) == 0
    checkpointed = json.loads(capsys.readouterr().out)
    assert checkpointed["tflop_per_step"] == pytest.approx(164, rel=0.05)
    # The repetitions run one after the other, and ten take the memory of one.
    assert checkpointed["peak_gib"] == pytest.approx(2.2, rel=0.05)
    assert checkpointed["weights_gib"] == pytest.approx(2.0, rel=0.05)
    model = load_architecture(INPAINTING, dtype="float16")
    kept = count_attack(attack("diffusion,repetitions=10"), model, editor(), EditSettings())
    assert kept.tflop_per_step == pytest.approx(122, rel=0.05)
    assert kept.peak_gib > 3 * checkpointed["peak_gib"]


def test_the_command_prints_words(capsys):
    assert main(["cost", "--model", "inpaint-a", "--attack", "diffusion,steps=10", "--steps-through", "2"]) == 0
    printed = capsys.readouterr().out
    assert "inpaint-a, 64 × 64, float32" in printed
    assert "in 10 steps" in printed
    assert "an edit: 0.2 TFLOP" in printed


@pytest.fixture(scope="module")
def laid_out():
    """Full-size models without weights, laid out when they are first asked for."""

    @cache
    def lay_out(name):
        model = load_architecture(name)
        model.checkpoint_gradients()
        return model

    return lay_out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "editing", "spec"),
    [
        *((INPAINTING, "inpaint", spec) for spec in GRADIENT_ATTACKS),
        (INPAINTING, "img2img", "diffusion,denoising_steps=1"),
        *((TEXT_TO_IMAGE, "inpaint", spec) for spec in ("encoder", "diffusion,denoising_steps=1", "advdm")),
        (TEXT_TO_IMAGE, "img2img", "diffusion,denoising_steps=1"),
        *((XL_INPAINTING, "inpaint", spec) for spec in ("encoder", "diffusion,denoising_steps=1", "dayn")),
        (XL, "img2img", "diffusion,denoising_steps=1"),
        ("timbrooks/instruct-pix2pix", "instruct", "diffusion,denoising_steps=1"),
    ],
)
def test_every_attack_can_be_laid_out_at_full_size(laid_out, name, editing, spec):
    costs = count_attack(attack(spec), laid_out(name), editor(editing), EditSettings())
    assert costs.tflop_per_step > 1
    assert 0 < costs.saved_gib < costs.peak_gib < (48 if "xl" in name else 16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "editing"),
    [
        *(
            (name, editing)
            for name in (INPAINTING, TEXT_TO_IMAGE, XL_INPAINTING, XL)
            for editing in ("inpaint", "img2img")
        ),
        ("timbrooks/instruct-pix2pix", "instruct"),
    ],
)
def test_every_editor_can_be_laid_out_at_full_size(laid_out, name, editing):
    costs = count_edit(laid_out(name), editor(editing), EditSettings(num_inference_steps=1))
    assert costs.tflop > 1


@pytest.mark.slow
@pytest.mark.parametrize("purifier", sorted(PURIFIERS.classes()))
def test_every_purifier_can_be_laid_out_at_full_size(laid_out, purifier):
    model = laid_out(INPAINTING)
    if PURIFIERS.create(purifier).instance.differentiable:
        costs = count_attack(attack(f"eot,purifiers={purifier}"), model, editor(), EditSettings())
        # The image itself and the purified one pass through the encoder, of 1.1 TFLOP forward.
        assert costs.tflop_per_step > 2 * 2 * 1.0
    batch = example_batch(model, editor(), EditSettings(), model.native_size)
    purified = PURIFIERS.create(purifier).instance.purify(batch.images, CaseGenerators.from_seeds([0]))
    assert purified.shape == batch.images.shape
