"""Checkpoints in one file: what they are told apart by, what is written, and that they edit as the folder does."""

import json

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from photoguard_eval.diffusion import EDITORS, EditSettings, identify_model, load_model
from photoguard_eval.diffusion.checkpoints import single_file
from photoguard_eval.errors import ModelError
from tests.diffusion.released_layout import write_single_file
from tests.tiny import assemble, half_masks, random_images, tiny_components

PROMPTS = ["A dog, at the beach's café", "a red cat at sunset"]


@pytest.fixture
def parts():
    """Components of a tiny Stable Diffusion 1 with CLIP's own vocabulary."""
    parts = tiny_components(9)
    tokenizer = single_file._tokenizer(
        {"text_encoder": {"hidden_size": 16, "max_position_embeddings": 77}}, "tokenizer"
    )
    state = torch.random.get_rng_state()
    torch.manual_seed(5)
    text = CLIPTextModel(
        CLIPTextConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    ).eval()
    torch.random.set_rng_state(state)
    return {**parts, "tokenizer": tokenizer, "text_encoder": text}


@pytest.fixture
def file(parts, tmp_path, monkeypatch):
    """The same in one file, an architecture that says how it is built, and an empty cache."""
    write_single_file(parts, tmp_path / "mine.safetensors")
    architecture = {
        name: {key: value for key, value in dict(parts[name].config.items()).items() if not key.startswith("_")}
        for name in ("unet", "vae", "scheduler")
    }
    architecture["text_encoder"] = parts["text_encoder"].config.to_dict()
    (tmp_path / "architecture.json").write_text(json.dumps({"model": {}, **architecture}))
    monkeypatch.setattr(single_file, "MODELS", {(16, 9): "tiny"})
    monkeypatch.setattr(single_file, "published_architectures", lambda: {"tiny": tmp_path / "architecture.json"})
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    return tmp_path / "mine.safetensors"


def test_a_single_file_edits_as_its_components_do(file, parts):
    images, masks, settings = random_images(2), half_masks(2), EditSettings(num_inference_steps=4)
    edits = [
        EDITORS.create("inpaint").instance.edit(model, images, masks, PROMPTS, [1, 2], settings)
        for model in (load_model(str(file)), assemble(parts))
    ]
    # The order of the UNet's memory differs, and with it the rounding.
    assert (edits[0] - edits[1]).abs().max() < 1e-4
    assert (edits[0] - images).abs().mean() > 0.01


def test_a_single_file_is_converted_once_and_named_after_itself(file, monkeypatch):
    first = identify_model(str(file))
    monkeypatch.setattr(single_file, "_convert", None)
    assert identify_model(str(file)) == first
    assert (first.name, first.revision, first.kind) == ("mine", "", "inpainting")
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name]


def test_half_precision_stays_half(parts, file):
    write_single_file({name: part.half() if hasattr(part, "half") else part for name, part in parts.items()}, file)
    weights = identify_model(str(file)).path / "unet" / "diffusion_pytorch_model.safetensors"
    unet = parts["unet"]
    assert weights.stat().st_size < 3 * sum(weight.numel() for weight in unet.parameters())


def test_a_file_without_text_encoder_leaves_nothing_behind(parts, file):
    parts.pop("text_encoder")
    write_single_file({**parts, "text_encoder": torch.nn.Identity()}, file)
    with pytest.raises(ModelError, match="must hold the UNet, the autoencoder and the text encoders"):
        load_model(str(file))
    assert not any((file.parent / "cache" / "photoguard-eval").iterdir())


def test_the_vocabulary_is_clip_s():
    tokenizer = single_file._tokenizer(
        {"text_encoder_2": {"hidden_size": 1280, "max_position_embeddings": 77}}, "tokenizer_2"
    )
    reference = SimpleTokenizer()
    for prompt in (*PROMPTS, "4k, 1990s; ünïcode 🙂 a/b"):
        assert tokenizer([prompt]).input_ids[0] == [49406, *reference.encode(prompt), 49407]
    assert tokenizer(["a"], padding="max_length", max_length=5).input_ids[0][3:] == [0, 0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": torch.zeros(1)}, "has no UNet"),
        (
            {single_file.FIRST_WEIGHT: torch.zeros(8, 4, 3, 3), single_file.PROMPT_WEIGHTS[0]: torch.zeros(8, 1024)},
            "has prompts 1024 wide and 4 input channels; supported are",
        ),
    ],
)
def test_another_model_is_refused(tmp_path, weights, message):
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=message):
        identify_model(str(tmp_path / "other.safetensors"))


def test_a_pickled_file_is_refused(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="can run code when they are read"):
        identify_model(str(tmp_path / "model.ckpt"))


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"not it")
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        identify_model(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize(("signature", "name"), single_file.MODELS.items())
def test_the_published_models_are_told_apart(signature, name):
    """Each signature is that of the architecture it stands for."""
    architecture = json.loads(single_file.published_architectures()[name].read_text())
    assert (architecture["unet"]["cross_attention_dim"], architecture["unet"]["in_channels"]) == signature
