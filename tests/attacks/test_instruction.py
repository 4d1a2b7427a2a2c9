"""Attacks on a checkpoint that follows instructions: the image acts through its latents at every step."""

import pytest
import torch

from photoguard_eval.attacks import ATTACKS, AttackBatch
from photoguard_eval.diffusion import EDITORS, EditSettings
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import random_images, tiny_model

SPECS = {
    "encoder": 4, "diffusion,repetitions=8": 20, "advdm": 4, "mist": 4, "ace": 4, "pid": 4, "diffusionguard": 4,
    "advpaint": 4, "dayn": 4, "blurguard": 4, "eot": 4,
}  # fmt: skip
"""Steps by attack. One edit by random weights shows too little of the image, so the diffusion attack averages over
eight. Left out is `sds`, whose loss has the right gradient and no meaning of its own."""


@pytest.fixture(scope="module")
def model():
    return tiny_model(input_channels=8)


@pytest.mark.parametrize(
    "spec", [pytest.param(spec, marks=[pytest.mark.slow] if "repetitions" in spec else []) for spec in SPECS]
)
def test_each_attack_lowers_its_objective(model, spec):
    attack = ATTACKS.create(f"{spec},steps={SPECS[spec]}").instance
    editor, images = EDITORS.create("instruct").instance, random_images(2) * 0.5 + 0.25
    attack.require_support(model, editor, {(32, 32)})
    batch = AttackBatch(
        images=images,
        masks=torch.zeros_like(images[:, :1]),
        prompts=("make it red", "make it blue") if attack.sees_prompt else None,
        ids=("first", "second"),
        editor=editor,
        settings=EditSettings(num_inference_steps=4),
    )
    immunized = attack.perturb(model, batch, CaseGenerators.from_seeds([0, 1]))
    change = (immunized - images).abs()
    assert 0 < change.max() <= batch.budget.radius + 1e-6
    noise = (torch.rand(images.shape, generator=torch.Generator().manual_seed(5)) * 2 - 1) * batch.budget.radius
    losses = []
    for candidate in (immunized, images + noise):
        # The same random numbers for both, many times over, since some losses draw a timestep.
        loss = attack.objective(model, batch, CaseGenerators.from_seeds([7, 8]))
        with torch.no_grad():
            losses.append(sum(float(loss(candidate).mean()) for _ in range(24)))
    assert losses[0] < losses[1]
