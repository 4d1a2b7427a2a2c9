import json
import shutil

import pytest

from photoguard_eval import resources
from photoguard_eval.diffusion import identify_model
from photoguard_eval.diffusion.checkpoints.shared_weights import SHARED_WEIGHTS, entries, whole_component
from photoguard_eval.errors import ModelError
from photoguard_eval.files import sha256_of_file

FOLDER = resources.embedded_checkpoints()["text-to-image-a"]
FILE = "diffusion_pytorch_model.safetensors"
RECORDED = {
    "inpaint-a": "738bcfa4aab26f34515d92528ee33c15cb4cce7752511fbf4933e4574f782d4e",
    "inpaint-b": "37b21fae1851901dc768141f3aad25e5591bae4bac70188707472f48a40280e2",
    "text-to-image-a": "2e106cfce0938225e4fec6cb5dbee71f989c9cec586af8e16c1b6116c3bac8db",
}
"""Hashes that results were recorded with, when each checkpoint had all files of its own."""


@pytest.mark.parametrize("name", RECORDED)
def test_a_checkpoint_has_the_hash_that_it_was_recorded_with(name):
    assert identify_model(name).weights_sha256 == RECORDED[name]


def test_a_component_is_whole_for_the_libraries():
    owner = resources.embedded_checkpoints()["inpaint-a"] / "vae" / FILE
    with whole_component(FOLDER, "vae") as whole:
        assert sha256_of_file(whole / "vae" / FILE) == sha256_of_file(owner)
        # The configuration is its own: the two scale their latents by slightly different factors.
        assert (whole / "vae" / "config.json").read_text() == (FOLDER / "vae" / "config.json").read_text()
    assert not whole.exists()
    with whole_component(FOLDER, "unet") as whole:
        assert whole == FOLDER


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {f"vae/{FILE}": "inpaint-z"},
            "names vae/diffusion_pytorch_model.safetensors of inpaint-z, which is not there",
        ),
        ({"vae/other.safetensors": "inpaint-a"}, "names vae/other.safetensors of inpaint-a, which is not there"),
        (3, "cannot be read"),
    ],
)
def test_weights_that_are_not_where_they_are_said_to_be_are_an_error(tmp_path, content, message):
    shutil.copytree(FOLDER / "vae", tmp_path / "vae")
    (tmp_path / SHARED_WEIGHTS).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        entries(tmp_path / "vae")


def test_a_checkpoint_of_a_distribution_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setattr(resources, "checkpoint_folders", lambda: (resources.CHECKPOINTS,))
    with pytest.raises(ModelError, match="Install it with `pip install photoguard-eval-checkpoints`"):
        identify_model("inpaint-b")
    assert "inpaint-b" not in resources.embedded_checkpoints()
