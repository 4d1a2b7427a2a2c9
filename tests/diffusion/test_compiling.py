import os
import shutil
import subprocess
import sys

import pytest
import torch

from photoguard_eval.attacks import ATTACKS, AttackBatch
from photoguard_eval.attacks.attention import attention_layers, recorded
from photoguard_eval.diffusion import EDITORS, EditSettings
from photoguard_eval.diffusion.compiling import compile_networks
from photoguard_eval.images.arrays import write_image
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import assemble, half_masks, random_images, tiny_components


def gradient_of(name, model):
    """Return the losses and the gradient of an attack on two images."""
    images = random_images(2)
    batch = AttackBatch(
        images=images,
        masks=half_masks(2),
        prompts=("a dog in a meadow", "a car"),
        ids=("a", "b"),
        editor=EDITORS.create("inpaint").instance,
        settings=EditSettings(),
    )
    objective = ATTACKS.create(name).instance.objective(model, batch, CaseGenerators.from_seeds([1, 2]))
    moved = (images + 0.02 * (random_images(2, seed=1) - 0.5)).requires_grad_()
    losses = objective(moved)
    (gradient,) = torch.autograd.grad(losses.sum(), moved)
    return losses.detach(), gradient


def test_layers_that_were_compiled_can_be_recorded():
    torch.compiler.reset()
    model = assemble(tiny_components())
    compile_networks(model, backend="eager")
    latents, prompts = torch.ones(2, 4, 16, 16), model.embed_prompts(["a dog", "a car"])
    conditioning = torch.ones(2, 5, 16, 16)

    def predict():
        return model.predict_noise(latents, torch.tensor(5), prompts, conditioning=conditioning)

    plain = predict()
    layers = [layer.to_q for layer in attention_layers(model)[0]]
    with recorded(layers) as outputs:
        assert torch.equal(predict(), plain)
    assert set(outputs) == set(layers)


@pytest.mark.parametrize("name", ["diffusion,denoising_steps=2", "advpaint", "dayn"])
def test_attacks_take_the_same_gradient_through_traced_networks(name):
    torch.compiler.reset()
    plain, compiled = (assemble(tiny_components()) for _ in range(2))
    compile_networks(compiled, backend="eager")
    for ours, theirs in zip(gradient_of(name, compiled), gradient_of(name, plain), strict=True):
        assert theirs.abs().max() > 0
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile takes a C++ compiler")
def test_compiled_networks_do_the_same():
    torch.compiler.reset()
    plain, compiled = (assemble(tiny_components()) for _ in range(2))
    compile_networks(compiled)
    name = "diffusion,denoising_steps=1"
    (losses, gradient), (expected, wanted) = gradient_of(name, compiled), gradient_of(name, plain)
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-4)
    assert torch.nn.functional.cosine_similarity(gradient.flatten(1), wanted.flatten(1)).min() > 0.9999


def test_a_missing_compiler_is_an_error_before_the_work(tmp_path):
    image = tmp_path / "image.png"
    command = [sys.executable, "-m", "photoguard_eval", "immunize", str(image), "-o", str(tmp_path / "out.png")]
    write_image(image, random_images(1, side=64))
    environment = {**os.environ, "CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    run = subprocess.run([*command, "--compile"], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "cannot be compiled here" in run.stderr
    assert "leave --compile out" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out.png").exists()
