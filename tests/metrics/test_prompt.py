import json
import shutil

import open_clip
import pytest
import torch
from PIL import Image

from photoguard_eval import load_dataset, resources
from photoguard_eval.errors import MetricError, UnknownNameError
from photoguard_eval.metrics import METRICS, EmbeddedClipFeatures, select_clip
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

    prompts = sorted({text for case in load_dataset("emoji-scenes").cases for text in (case.prompt, case.caption)})
    prompts += ["", "A Dog, in a Meadow!", "étoile", "a dog and " * 12]
    training = CLIPTokenizer.from_pretrained(TOKENIZER)(
        prompts, padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    ).input_ids
    ids = open_clip.get_tokenizer(f"local-dir:{resources.embedded_clip()}")(prompts)
    assert torch.equal(ids, training)


def test_images_are_prepared_as_open_clip_prepares_them(clip):
    """The embedding of an image file of the model's size, read and normalised by open_clip itself."""
    case = load_dataset("emoji-scenes").cases[0]
    model, _, prepare = open_clip.create_model_and_transforms(
        f"local-dir:{resources.embedded_clip()}", require_pretrained=True
    )
    with torch.no_grad():
        expected = model.eval().encode_image(prepare(Image.open(case.image_path).convert("RGB"))[None])
    assert torch.allclose(clip.embed_images(case.image()), expected, atol=1e-5)


def test_similarity_is_the_cosine_of_the_embeddings(clip):
    images = torch.cat([case.image() for case in load_dataset("emoji-scenes").cases[:6:3]])
    prompts = ["a dog in a meadow", "a cow on a beach"]
    values = METRICS.create("clip_similarity").instance.compute(clip, images, prompts, ["x", "y"])
    a, b = clip.embed_images(images).double().numpy(), clip.embed_texts(prompts).double().numpy()
    expected = (a * b).sum(axis=1) / ((a**2).sum(axis=1) * (b**2).sum(axis=1)) ** 0.5
    assert values == pytest.approx(expected, abs=1e-5)


def test_an_image_that_is_not_square_is_squeezed_and_not_cropped(clip):
    image = load_dataset("emoji-scenes").cases[0].image()
    wide = torch.nn.functional.interpolate(image, size=(64, 128), mode="bicubic", align_corners=False).clamp(0, 1)
    edge_changed = wide.clone()
    edge_changed[..., -24:] = 0
    same, changed = (
        torch.nn.functional.cosine_similarity(clip.embed_images(image), clip.embed_images(other)).item()
        for other in (wide, edge_changed)
    )
    assert same > 0.97
    assert changed < same - 0.01


def test_loading_leaves_the_global_generator_alone(tmp_path):
    folder = shutil.copytree(resources.embedded_clip(), tmp_path / "copy")
    before = torch.random.get_rng_state()
    select_clip(str(folder), embedded_model=True).embed_texts(["a dog"])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_model_is_loaded_once_for_features_and_similarity(clip, monkeypatch):
    clip.embed_texts(["a dog"])
    monkeypatch.setattr(open_clip, "create_model", None)
    assert EmbeddedClipFeatures().features(torch.rand(1, 3, 64, 64)).shape == (1, 128)


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


def test_weights_that_vanish_are_refused_not_replaced_by_random_ones(tmp_path):
    folder = shutil.copytree(resources.embedded_clip(), tmp_path / "emptied")
    clip = select_clip(str(folder), embedded_model=True)
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(MetricError, match="cannot be loaded by open_clip"):
        clip.embed_texts(["a dog"])


def test_a_damaged_configuration_is_refused(tmp_path):
    folder = shutil.copytree(resources.embedded_clip(), tmp_path / "broken")
    (folder / "open_clip_config.json").write_text(json.dumps({}))
    with pytest.raises(MetricError, match="cannot be loaded by open_clip"):
        select_clip(str(folder), embedded_model=True).embed_texts(["a dog"])


def test_an_unknown_clip_is_suggested():
    with pytest.raises(UnknownNameError, match="embedded"):
        select_clip("embeded", embedded_model=True)


def test_a_name_that_open_clip_does_not_know_is_refused():
    with pytest.raises(MetricError, match="nothing:openai cannot be loaded by open_clip"):
        select_clip("nothing:openai", embedded_model=False).embed_texts(["a dog"])


def test_an_image_that_is_not_finite_is_an_error_with_the_case(clip):
    with pytest.raises(MetricError, match="an image of fox-0"):
        METRICS.create("clip_similarity").instance.compute(
            clip, torch.full((1, 3, 64, 64), torch.nan), ["a"], ["fox-0"]
        )


def test_as_many_prompts_as_images(clip):
    with pytest.raises(MetricError, match="1 images and 2 prompts"):
        METRICS.create("clip_similarity").instance.compute(clip, torch.rand(1, 3, 64, 64), ["a", "b"], ["x"])
