import shutil
from pathlib import Path

import pytest
import torch

from photoguard_eval import resources
from photoguard_eval.errors import MetricError, UnknownNameError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.metrics import EmbeddedClipFeatures, InceptionFeatures, hub, select_clip, select_extractor
from photoguard_eval.metrics.clip import TextImageModel
from photoguard_eval.metrics.features import INCEPTION
from tests.metrics.pictures import picture


@pytest.fixture
def weights(cache):
    """A file where the weights of Inception-v3 would be."""
    path = cache / INCEPTION.file
    path.write_bytes(b"weights")
    return path


def test_an_embedded_model_always_uses_the_embedded_extractor(weights):
    assert select_extractor("auto", embedded_model=True).identity.startswith("embedded clip ")
    assert select_extractor("auto", embedded_model=False).identity.startswith("inception-v3 ")


def test_an_extractor_can_be_asked_for(weights):
    assert isinstance(select_extractor("embedded", embedded_model=False), EmbeddedClipFeatures)
    assert isinstance(select_extractor("inception", embedded_model=True), InceptionFeatures)


def test_missing_inception_weights_are_said(cache):
    with pytest.raises(MetricError, match=r"Download pt_inception-2015-12-05-6726825d\.pth from .* and put it there"):
        select_extractor("inception", embedded_model=False)
    with pytest.warns(UserWarning, match="cannot be compared with published values"):
        assert select_extractor("auto", embedded_model=False).identity.startswith("embedded")


def test_an_unknown_extractor_is_suggested():
    with pytest.raises(UnknownNameError, match="inception"):
        select_extractor("incepton", embedded_model=True)


def test_the_identity_is_the_hash_of_the_weights(weights):
    assert InceptionFeatures().identity == f"inception-v3 {sha256_of_file(weights)[:12]}"
    assert EmbeddedClipFeatures().identity == f"embedded {TextImageModel(str(resources.embedded_clip())).identity}"


@pytest.mark.parametrize("changed", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_a_clip_is_known_by_weights_and_configuration(tmp_path, changed):
    """A corrected activation or normalisation gives other features, with the same weights."""
    folder = tmp_path / "clip"
    shutil.copytree(resources.embedded_clip(), folder)
    before = TextImageModel(str(folder)).identity
    assert before.startswith("clip ")
    with (folder / changed).open("ab") as file:
        file.write(b"\n")
    assert TextImageModel(str(folder)).identity != before


def test_the_embedded_features_are_clip_s_image_embeddings():
    images = torch.cat([picture(0), picture(1)])
    features = EmbeddedClipFeatures().features(images)
    assert features.shape == (2, 128)
    assert torch.equal(features, select_clip("auto", embedded_model=True).embed_images(images))
    assert not torch.allclose(features.norm(dim=1), torch.ones(2), atol=0.1)


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME", None])
def test_weights_are_looked_for_where_torch_hub_keeps_them(monkeypatch, tmp_path, variable):
    for name in ("TORCH_HOME", "TORCH_HUB", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION.file == INCEPTION.path


def test_damaged_weights_are_refused(weights):
    with pytest.raises(MetricError, match="is damaged: its SHA-256 does not begin with 6726825d"):
        InceptionFeatures().features(picture())


def whole(monkeypatch):
    """Take any file for the whole weights."""
    monkeypatch.setattr(hub, "sha256_of_file", lambda path: INCEPTION.sha256)


def test_weights_that_torch_hub_would_not_find_are_not_downloaded(weights, monkeypatch, tmp_path):
    whole(monkeypatch)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "elsewhere"))
    with pytest.raises(MetricError, match="Set the cache with TORCH_HOME"):
        InceptionFeatures().features(picture())


def test_inception_gives_2048_features_of_images_of_any_size(weights, monkeypatch):
    """The real architecture with drawn weights: what is tested is how it is fed and read."""
    loader = "piq.feature_extractors.fid_inception.load_state_dict_from_url"
    asked = []
    monkeypatch.setattr(loader, lambda url, progress: asked.append(url))
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda module, state: None)
    whole(monkeypatch)
    before = torch.random.get_rng_state()
    extractor = InceptionFeatures()
    images = picture()
    features = extractor.features(images)
    assert asked[0].endswith(INCEPTION.file)
    assert features.shape == (1, 2048)
    assert features.dtype == torch.float32
    assert not features.requires_grad
    resized = torch.nn.functional.interpolate(images, size=(299, 299), mode="bilinear", align_corners=False)
    assert torch.allclose(extractor.features(resized), features, atol=1e-5)
    assert torch.equal(torch.random.get_rng_state(), before)
