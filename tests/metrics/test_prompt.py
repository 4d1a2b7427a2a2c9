import json
import shutil

import open_clip
import pytest
import torch

from photoguard_eval import load_dataset, resources
from photoguard_eval.errors import MetricError, UnknownNameError
from photoguard_eval.metrics import METRICS, select_clip
from tests.tiny import TOKENIZER


@pytest.fixture(scope="module")
def clip():
    return select_clip("auto", embedded_model=True)


def test_the_right_caption_is_more_similar_than_any_other(clip):
    cases = load_dataset("emoji-scenes").cases[::3]
    images = torch.cat([case.image() for case in cases])
    metric = METRICS.create("clip_similarity").instance
    ids = [case.id for case in cases]
    right = metric.compute(clip, images, [case.caption for case in cases], ids)
    wrong = metric.compute(clip, images, [case.prompt for case in cases], ids)
    assert sum(a > b for a, b in zip(right, wrong, strict=True)) >= 19
    assert all(-1 <= value <= 1 for value in right)


def test_captions_are_found_among_all_others(clip):
    cases = load_dataset("emoji-scenes").cases[::3]
    images = clip.embed_images(torch.cat([case.image() for case in cases]))
    texts = clip.embed_texts([case.caption for case in cases])
    similarity = torch.nn.functional.normalize(images) @ torch.nn.functional.normalize(texts).T
    assert (similarity.argmax(dim=1) == torch.arange(len(cases))).float().mean() >= 0.7


def test_open_clip_s_tokenizer_gives_the_ids_of_the_training():
    from transformers import CLIPTokenizer

    prompts = ["a dog in a meadow", "a purple fire engine under the stars", ""]
    training = CLIPTokenizer.from_pretrained(TOKENIZER)(
        prompts, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    ).input_ids
    ids = open_clip.get_tokenizer(f"local-dir:{resources.embedded_clip()}")(prompts)
    assert torch.equal(ids, training)


def test_images_of_any_size_are_embedded(clip):
    image = load_dataset("emoji-scenes").cases[0].image()
    larger = torch.nn.functional.interpolate(image, scale_factor=3, mode="nearest")
    first, second = clip.embed_images(image), clip.embed_images(larger)
    assert torch.nn.functional.cosine_similarity(first, second) > 0.97


def test_the_identity_names_the_weights(clip):
    assert clip.identity.startswith("clip ")
    assert len(clip.identity.split()[1]) == 12


def test_a_folder_that_is_no_clip_is_refused(tmp_path):
    with pytest.raises(MetricError, match=r"open_clip_config\.json, open_clip_model\.safetensors missing"):
        select_clip(str(tmp_path), embedded_model=True)


def test_damaged_weights_are_refused_not_replaced_by_random_ones(tmp_path):
    folder = shutil.copytree(resources.embedded_clip(), tmp_path / "broken")
    (folder / "open_clip_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(MetricError, match="cannot be loaded by open_clip"):
        select_clip(str(folder), embedded_model=True).embed_texts(["a dog"])


def test_a_damaged_configuration_is_refused(tmp_path):
    folder = shutil.copytree(resources.embedded_clip(), tmp_path / "broken")
    (folder / "open_clip_config.json").write_text(json.dumps({}))
    with pytest.raises(MetricError, match="cannot be loaded by open_clip"):
        select_clip(str(folder), embedded_model=True).embed_texts(["a dog"])


def test_an_unknown_clip_is_suggested():
    with pytest.raises(UnknownNameError, match="embedded"):
        select_clip("embeded", embedded_model=True)


def test_as_many_prompts_as_images(clip):
    with pytest.raises(MetricError, match="1 images and 2 prompts"):
        METRICS.create("clip_similarity").instance.compute(clip, torch.rand(1, 3, 64, 64), ["a", "b"], ["x"])
