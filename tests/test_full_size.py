"""Stable Diffusion inpainting at full size with drawn weights, by the commands that a user gives.

860 million parameters, images of 512 pixels, on the processor. What it takes is printed (`pytest -s`).
"""

import json
import resource
import shutil
import subprocess
import sys
import time

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from photoguard_eval import resources
from photoguard_eval.diffusion.checkpoints.single_file import published_architectures, write_configuration
from photoguard_eval.images.arrays import read_image
from photoguard_eval.images.masks import read_mask

ARCHITECTURE = published_architectures()["stable-diffusion-v1-5/stable-diffusion-inpainting"]
IMAGE = "astronaut-portrait"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A whole checkpoint as a diffusers folder, in float16 as it is published."""
    folder = tmp_path_factory.mktemp("full") / "stable-diffusion-inpainting"
    architecture = json.loads(ARCHITECTURE.read_text(encoding="utf-8"))
    write_configuration(folder, architecture)
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    for name, component in {
        "vae": lambda: AutoencoderKL.from_config(architecture["vae"]),
        "unet": lambda: UNet2DConditionModel.from_config(architecture["unet"]),
        "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**architecture["text_encoder"])),
    }.items():
        component().half().save_pretrained(folder / name, variant="fp16")
    torch.random.set_rng_state(state)
    yield folder
    shutil.rmtree(folder)  # 2 GB, which a failing test would keep otherwise


def run(*arguments):
    """Give a command, and say how long it took and how much memory at most."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "photoguard_eval", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    gibibytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{arguments[0]}: {time.monotonic() - started:.0f} s, {gibibytes:.1f} GiB at most so far")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_half_a_checkpoint_on_the_disk(checkpoint):
    weights = load_file(checkpoint / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert sum(weight.numel() for weight in weights.values()) == 859_535_364
    assert {weight.dtype for weight in weights.values()} == {torch.float16}


def test_a_photograph_is_edited(checkpoint, tmp_path):
    folder = resources.datasets_folder() / "photos"
    image, mask, output = folder / f"images/{IMAGE}.jpg", folder / f"masks/{IMAGE}.png", tmp_path / "edit.png"
    run(
        *("edit", image, "--mask", mask, "--prompt", "an astronaut on the moon", "-o", output),
        *("--model", checkpoint, "--setting", "num_inference_steps=2"),
    )
    edited, original, region = read_image(output), read_image(image), read_mask(mask)
    assert edited.shape == (1, 3, 512, 512)
    difference = (edited - original).abs()
    assert (difference * (1 - region)).max() == 0
    assert (difference * region).sum() / region.sum() > 0.1


def test_a_photograph_is_immunized(checkpoint, tmp_path):
    folder = resources.datasets_folder() / "photos"
    image, mask, output = folder / f"images/{IMAGE}.jpg", folder / f"masks/{IMAGE}.png", tmp_path / "immunized.png"
    printed = run(
        *("immunize", image, "--mask", mask, "-o", output, "--json", "--model", checkpoint),
        *("--attack", "diffusion,steps=1,denoising_steps=1,repetitions=1"),
    )
    facts = json.loads(printed)
    assert 0 < facts["linf_levels"] <= 16
    difference, region = (read_image(output) - read_image(image)).abs(), read_mask(mask)
    assert difference.max() == pytest.approx(facts["linf_levels"] / 255, abs=1e-6)
    assert (difference * region).max() == 0, "what will be edited is not seen, so it is left as it is"
