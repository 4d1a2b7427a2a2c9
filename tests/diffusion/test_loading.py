import json
import shutil
import subprocess
import sys

import pytest
import torch

from photoguard_eval import resources
from photoguard_eval.diffusion import identify_model, load_model, require_device
from photoguard_eval.errors import ConfigurationError, ModelError, UnknownNameError

EMBEDDED = resources.embedded_checkpoints()["inpaint-a"]


@pytest.fixture
def checkpoint(tmp_path):
    return shutil.copytree(EMBEDDED, tmp_path / "my-model")


def test_the_embedded_checkpoint_loads():
    model = load_model("inpaint-a")
    assert (model.kind, model.native_size, model.dtype) == ("inpainting", 64, torch.float32)


def test_a_folder_is_the_same_as_the_embedded_checkpoint(checkpoint):
    identity = identify_model(str(checkpoint))
    assert identity.name == "my-model"
    assert identity.weights_sha256 == identify_model("inpaint-a").weights_sha256
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(load_model(str(checkpoint)).encode(images), load_model("inpaint-a").encode(images))


def test_the_identity_changes_with_the_weights(checkpoint):
    weights = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert identify_model(str(checkpoint)).weights_sha256 != identify_model("inpaint-a").weights_sha256


def test_an_unknown_name_is_suggested():
    with pytest.raises(UnknownNameError, match="Did you mean 'inpaint-a'"):
        identify_model("inpaint-b")


def test_an_incomplete_folder_is_refused(checkpoint):
    shutil.rmtree(checkpoint / "unet")
    with pytest.raises(ModelError, match="unet missing"):
        identify_model(str(checkpoint))


def test_pickled_weights_are_refused(checkpoint):
    (checkpoint / "unet" / "diffusion_pytorch_model.safetensors").rename(
        checkpoint / "unet" / "diffusion_pytorch_model.bin"
    )
    with pytest.raises(ModelError, match="safetensors"):
        load_model(str(checkpoint))


def test_a_unet_of_another_kind_is_refused(checkpoint):
    path = checkpoint / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 7}))
    with pytest.raises(ModelError, match="takes 7 channels"):
        identify_model(str(checkpoint))


def test_a_damaged_configuration_is_refused(checkpoint):
    (checkpoint / "unet" / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        identify_model(str(checkpoint))


def test_a_renamed_hub_id_is_explained():
    with pytest.raises(ModelError, match="stable-diffusion-v1-5/stable-diffusion-inpainting"):
        identify_model("runwayml/stable-diffusion-inpainting")


def test_a_hub_id_that_cannot_be_had_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    command = "from photoguard_eval.diffusion import identify_model; identify_model('owner/no-such-model')"
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    assert "ModelError: The model owner/no-such-model is not in the local cache" in done.stderr
    assert "hf download owner/no-such-model" in done.stderr


def test_a_hub_id_is_found_in_the_cache(tmp_path):
    commit = "a" * 40
    repository = tmp_path / "hub" / "models--owner--small"
    shutil.copytree(EMBEDDED, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    command = (
        "from photoguard_eval.diffusion import identify_model as i; m = i('owner/small'); print(m.name, m.revision)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    assert done.stdout.split() == ["owner/small", commit], done.stderr


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ConfigurationError, match="float8"):
        load_model("inpaint-a", dtype="float8")


def test_a_missing_gpu_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="--gpu needs a CUDA device"):
        require_device("cuda")


def test_half_precision_edits_close_to_full():
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    full = load_model("inpaint-a").encode(images)
    half = load_model("inpaint-a", dtype="bfloat16").encode(images)
    assert half.dtype == torch.float32
    assert (full - half).abs().mean() < 0.05 * full.abs().mean()
