"""Checkpoints of the hub, read from cache folders laid out as huggingface_hub does, and never from the network."""

import os
import re
import shutil
import subprocess
import sys
from unittest.mock import MagicMock

import pytest

from photoguard_eval import resources
from photoguard_eval.diffusion import identify_model, load_model
from photoguard_eval.diffusion.checkpoints.hub import PUBLISHED, RENAMED, is_hub_id
from photoguard_eval.errors import ModelError

EMBEDDED = resources.embedded_checkpoints()["inpaint-a"]
INPAINTING = "stable-diffusion-v1-5/stable-diffusion-inpainting"


def put(hub, repository, commit, ref=None):
    """Put the embedded checkpoint into a cache as a commit of a repository, and return its folder."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    shutil.copytree(EMBEDDED, folder / "snapshots" / commit)
    if ref:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
    return folder / "snapshots" / commit


def run(home, command, **environment):
    """Run Python with a cache and without a network; huggingface_hub reads the environment when it is imported."""
    return subprocess.run(
        [sys.executable, "-c", f"from photoguard_eval.diffusion import identify_model, load_model\n{command}"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "HF_HOME": str(home), **environment},
    )


def test_the_newest_commit_in_the_cache_is_the_revision(tmp_path):
    put(tmp_path / "hub", "owner/small", "a" * 40, "main")
    done = run(tmp_path, "m = identify_model('owner/small'); print(m.name, m.revision, m.kind)")
    assert done.stdout.split() == ["owner/small", "a" * 40, "inpainting"], done.stderr


def test_published_models_are_pinned(tmp_path):
    put(tmp_path / "hub", INPAINTING, PUBLISHED[INPAINTING].revision)
    put(tmp_path / "hub", INPAINTING, "b" * 40, "main")
    done = run(tmp_path, f"print(identify_model('{INPAINTING}').revision)")
    assert done.stdout.split() == [PUBLISHED[INPAINTING].revision], done.stderr
    done = run(tmp_path, f"print(identify_model('{INPAINTING}', 'main').revision)")
    assert done.stdout.split() == ["b" * 40], done.stderr


def test_a_revision_can_be_asked_for(tmp_path):
    put(tmp_path / "hub", "owner/small", "a" * 40, "main")
    put(tmp_path / "hub", "owner/small", "b" * 40, "older")
    for revision in ("older", "b" * 40):
        done = run(tmp_path, f"print(identify_model('owner/small', '{revision}').revision)")
        assert done.stdout.split() == ["b" * 40], done.stderr


def test_stable_diffusion_loads_from_its_half_precision_weights(tmp_path):
    """The published inpainting checkpoint has no other weights in safetensors."""
    folder = put(tmp_path / "hub", INPAINTING, PUBLISHED[INPAINTING].revision)
    for path in sorted(folder.glob("*/*.safetensors")):
        path.rename(path.with_suffix(".fp16.safetensors"))
    done = run(tmp_path, f"m = load_model('{INPAINTING}'); print(m.kind, m.dtype)")
    assert done.stdout.split() == ["inpainting", "torch.float32"], done.stderr


def test_a_model_that_cannot_be_had_says_what_to_do(tmp_path):
    done = run(tmp_path, "identify_model('owner/no-such-model')")
    assert "ModelError: The model owner/no-such-model is not in the local cache" in done.stderr
    assert "run `photoguard-eval download owner/no-such-model`, and copy the cache folder here (HF_HOME)" in done.stderr


def test_a_published_model_that_cannot_be_had_says_how_large_it_is(tmp_path):
    done = run(tmp_path, f"identify_model('{INPAINTING}')")
    assert f"run `photoguard-eval download {INPAINTING}` (2.1 GB), and copy" in done.stderr


def test_download_fetches_nothing_that_is_there_and_says_what_it_is(tmp_path):
    folder = put(tmp_path / "hub", "owner/small", "a" * 40, "main")
    done = run(tmp_path, "from photoguard_eval.app.main import main; main(['download', 'owner/small'])")
    assert done.stdout.startswith(f"{folder}: inpainting, weights "), done.stderr


def test_a_cache_that_lacks_weights_is_not_taken_for_whole(tmp_path):
    folder = put(tmp_path / "hub", "owner/small", "a" * 40, "main")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    done = run(tmp_path, "identify_model('owner/small')")
    assert "ModelError: owner/small has no safetensors weights for unet in the local cache" in done.stderr
    assert "run `photoguard-eval download owner/small`, and copy" in done.stderr


def test_what_the_hub_has_is_fetched_in_two_steps(monkeypatch, tmp_path):
    """Half precision is asked for only where the first step brought no weights."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = []

    def download(repository, *, revision, allow_patterns, ignore_patterns, local_files_only):
        if local_files_only:
            raise LocalEntryNotFoundError("nothing cached")
        asked.append((revision, allow_patterns, ignore_patterns))
        if len(asked) == 1:
            shutil.copytree(EMBEDDED, tmp_path / "snapshot")
            (tmp_path / "snapshot/vae/diffusion_pytorch_model.safetensors").unlink()
        else:
            weights = "vae/diffusion_pytorch_model"
            shutil.copy(EMBEDDED / f"{weights}.safetensors", tmp_path / f"snapshot/{weights}.fp16.safetensors")
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert load_model("owner/small").kind == "inpainting"
    assert [revision for revision, _, _ in asked] == [None, None]
    assert "*.fp16*" in asked[0][2]
    assert asked[1][1] == ["vae/*.fp16*"]
    assert not any(pattern.endswith((".bin", ".ckpt", "*")) for pattern in asked[0][1])


def test_a_gated_model_says_how_to_get_access(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

    def download(repository, *, local_files_only, **_):
        if local_files_only:
            raise LocalEntryNotFoundError("nothing cached")
        raise GatedRepoError("gated", response=MagicMock())

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelError, match="Accept them on its page, log in with `hf auth login`"):
        identify_model("owner/gated")


@pytest.mark.parametrize("gone", RENAMED)
def test_a_renamed_model_is_explained(gone):
    with pytest.raises(ModelError, match=f"{gone} no longer exists on the hub. Use {RENAMED[gone]}"):
        identify_model(gone)


def test_published_models_have_whole_commits_and_exist_under_their_names():
    for name, model in PUBLISHED.items():
        assert is_hub_id(name)
        assert name not in RENAMED
        assert re.fullmatch("[0-9a-f]{40}", model.revision)
        assert 1 < model.gigabytes < 20
    assert set(RENAMED.values()) <= set(PUBLISHED)


@pytest.mark.parametrize("name", ["inpaint-a", "./models/mine", "/models/mine", "~/mine", "a/b/c", ""])
def test_paths_and_plain_names_are_no_hub_ids(name):
    assert not is_hub_id(name)
