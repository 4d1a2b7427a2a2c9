import json
import shutil

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from safetensors.torch import load_file, save_file

from photoguard_eval import resources
from photoguard_eval.diffusion import default_model, devices, identify_model, load_model, require_device
from photoguard_eval.errors import ConfigurationError, ModelError, UnknownNameError
from tests.tiny import assemble, random_images, tiny_components, tiny_xl_components

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
    with pytest.raises(UnknownNameError, match="Did you mean 'inpaint-b' or 'inpaint-a'"):
        identify_model("inpaint-z")


def test_an_incomplete_folder_is_refused(checkpoint):
    shutil.rmtree(checkpoint / "unet")
    with pytest.raises(ModelError, match="unet missing"):
        identify_model(str(checkpoint))


def test_pickled_weights_are_refused(checkpoint):
    (checkpoint / "unet" / "diffusion_pytorch_model.safetensors").rename(
        checkpoint / "unet" / "diffusion_pytorch_model.bin"
    )
    for read in (identify_model, load_model):
        with pytest.raises(ModelError, match=r"no safetensors weights for unet\. Pickled weights .* are refused"):
            read(str(checkpoint))


def test_half_precision_is_loaded_where_there_are_no_other_weights(checkpoint):
    for path in sorted(checkpoint.glob("*/*.safetensors")):
        path.rename(path.with_suffix(".fp16.safetensors"))
    model, embedded = load_model(str(checkpoint)), load_model("inpaint-a")
    parts = [(loaded.vae, loaded.unet, *loaded.text.encoders) for loaded in (model, embedded)]
    for own, other in zip(*parts, strict=True):
        pairs = zip(own.parameters(), other.parameters(), strict=True)
        assert all(torch.equal(own, other) for own, other in pairs)
    before = identify_model(str(checkpoint)).weights_sha256
    weights = checkpoint / "vae" / "diffusion_pytorch_model.fp16.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    assert identify_model(str(checkpoint)).weights_sha256 != before


def test_a_unet_of_another_kind_is_refused(checkpoint):
    path = checkpoint / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 7}))
    with pytest.raises(ModelError, match="takes 7 channels"):
        identify_model(str(checkpoint))


def test_a_damaged_configuration_is_refused(checkpoint):
    (checkpoint / "unet" / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        identify_model(str(checkpoint))


def test_a_variant_beside_the_weights_changes_nothing(checkpoint):
    weights = checkpoint / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert identify_model(str(checkpoint)).weights_sha256 == identify_model("inpaint-a").weights_sha256


@pytest.mark.parametrize(
    "weights",
    [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    ],
)
def test_missing_weights_are_not_left_random(checkpoint, weights):
    tensors = load_file(checkpoint / weights)
    name = sorted(tensors)[0]
    del tensors[name]
    save_file(tensors, checkpoint / weights, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"lacks 1 of the weights.* first .*{name.rpartition('.')[2]}"):
        load_model(str(checkpoint))


def test_truncated_weights_are_refused(checkpoint):
    weights = checkpoint / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:10_000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(checkpoint))


def test_the_weight_names_of_stable_diffusion_load(tmp_path):
    """Its files are older: the autoencoder's attention and the text encoder have other names in them."""
    checkpoint = tmp_path / "older"
    StableDiffusionInpaintPipeline(
        **tiny_components(), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    ).save_pretrained(checkpoint)
    model = load_model(str(checkpoint))
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = {}
    for name, tensor in load_file(weights).items():
        for new, old in older.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        tensors[name] = tensor
    assert any("proj_attn" in name for name in tensors)
    save_file(tensors, weights, metadata={"format": "pt"})
    weights = checkpoint / "text_encoder" / "model.safetensors"
    tensors = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in load_file(weights).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(16)[None]
    save_file(tensors, weights, metadata={"format": "pt"})

    renamed = load_model(str(checkpoint))
    images = random_images(1)
    assert torch.equal(renamed.encode(images), model.encode(images))
    assert torch.equal(renamed.embed_prompts(["a dog"]).tokens, model.embed_prompts(["a dog"]).tokens)


@pytest.mark.parametrize(
    ("component", "entry", "named"),
    [
        ("unet", ["diffusers", "SD3Transformer2DModel"], "unet SD3Transformer2DModel"),
        ("text_encoder", ["transformers", "T5EncoderModel"], "text_encoder T5EncoderModel"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(checkpoint, component, entry, named):
    path = checkpoint / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), component: entry}))
    with pytest.raises(ModelError, match=f"no checkpoint of a supported kind: it has {named}"):
        identify_model(str(checkpoint))


@pytest.fixture(scope="module")
def xl_checkpoint(tmp_path_factory):
    """A tiny Stable Diffusion XL for inpainting, as diffusers writes it."""
    folder = tmp_path_factory.mktemp("models") / "xl"
    parts = tiny_xl_components()
    StableDiffusionXLInpaintPipeline(**parts, force_zeros_for_empty_prompt=True).save_pretrained(folder)
    return folder


def test_a_checkpoint_with_two_text_encoders_loads(xl_checkpoint):
    model, built = load_model(str(xl_checkpoint)), assemble(tiny_xl_components())
    assert model.kind == "inpainting"
    own, other = model.embed_prompts(["a dog"]), built.embed_prompts(["a dog"])
    assert torch.equal(own.tokens, other.tokens)
    assert torch.equal(own.pooled, other.pooled)
    assert not model.unconditional(2).tokens.any()
    assert not model.unconditional(2).pooled.any()


def test_the_second_text_encoder_is_part_of_the_identity(xl_checkpoint, tmp_path):
    folder = shutil.copytree(xl_checkpoint, tmp_path / "xl")
    before = identify_model(str(folder)).weights_sha256
    weights = folder / "text_encoder_2" / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    assert identify_model(str(folder)).weights_sha256 != before
    shutil.rmtree(folder / "text_encoder_2")
    with pytest.raises(ModelError, match="text_encoder_2 missing"):
        identify_model(str(folder))


@pytest.fixture
def any_precision(monkeypatch):
    """A processor that computes in every type, however long it takes."""
    monkeypatch.setattr(devices, "_has_instructions", lambda device, dtype: True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_type_that_the_device_lacks_is_refused(monkeypatch, dtype):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(ModelError, match=f"This processor has no instructions for {dtype}.* Use --dtype float32"):
        load_model("inpaint-a", dtype=dtype)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(ModelError, match=r"This GPU has no instructions for bfloat16.* float32 or float16\."):
        load_model("inpaint-a", device="cuda", dtype="bfloat16")


@pytest.mark.usefixtures("any_precision")
def test_an_autoencoder_that_overflows_stays_in_full_precision(xl_checkpoint, tmp_path):
    assert load_model(str(xl_checkpoint), dtype="float16").vae.dtype == torch.float32
    assert load_model(str(xl_checkpoint), dtype="bfloat16").vae.dtype == torch.bfloat16
    folder = shutil.copytree(xl_checkpoint, tmp_path / "mended")
    path = folder / "vae" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "force_upcast": False}))
    assert load_model(str(folder), dtype="float16").vae.dtype == torch.float16


def test_guidance_away_from_the_empty_prompt_is_as_the_index_says(xl_checkpoint, tmp_path):
    folder = shutil.copytree(xl_checkpoint, tmp_path / "xl")
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "force_zeros_for_empty_prompt": False}))
    model = load_model(str(folder))
    assert torch.equal(model.unconditional(1).tokens, model.embed_prompts([""]).tokens)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_index_is_refused(checkpoint, content):
    (checkpoint / "model_index.json").write_text(content)
    with pytest.raises(ModelError, match=r"model_index\.json .*Restore it"):
        identify_model(str(checkpoint))


def test_a_missing_vocabulary_is_refused(checkpoint):
    (checkpoint / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="holds no vocabulary"):
        load_model(str(checkpoint))


def test_a_missing_folder_says_what_to_give(tmp_path):
    with pytest.raises(UnknownNameError, match="a diffusers folder or a safetensors file that exists"):
        load_model(str(tmp_path / "missing"))


def test_an_empty_name_is_not_the_current_folder(checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint)
    with pytest.raises(UnknownNameError, match="Unknown model ''"):
        identify_model("")


def test_ddim_samples_whatever_scheduler_the_checkpoint_names(checkpoint):
    path = checkpoint / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            {**config, "_class_name": "PNDMScheduler", "skip_prk_steps": True, "steps_offset": 0, "clip_sample": True}
        )
    )
    scheduler = load_model(str(checkpoint)).scheduler(4)
    assert type(scheduler).__name__ == "DDIMScheduler"
    assert scheduler.timesteps.tolist() == [751, 501, 251, 1]
    assert not scheduler.config.clip_sample


def test_large_images_pass_through_the_autoencoder_in_tiles_on_request(checkpoint):
    path = checkpoint / "vae" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sample_size": 32}))
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    whole, tiled = (load_model(str(checkpoint), vae_tiling=tiling) for tiling in (False, True))
    assert not torch.equal(tiled.encode(images), whole.encode(images)), "tiles see less of their surroundings"
    assert torch.equal(tiled.encode(images[..., :32, :32]), whole.encode(images[..., :32, :32]))
    assert tiled.decode(tiled.encode(images)).shape == images.shape


@pytest.mark.usefixtures("any_precision")
@pytest.mark.parametrize("folder", ["checkpoint", "xl_checkpoint"])
def test_text_encoders_stay_on_the_processor_in_full_precision_on_request(folder, request):
    path = str(request.getfixturevalue(folder))
    offloaded, plain = load_model(path, dtype="bfloat16", cpu_offload=True), load_model(path, dtype="bfloat16")
    assert {encoder.dtype for encoder in offloaded.text.encoders} == {torch.float32}
    ours, theirs = (model.embed_prompts(["a dog in a meadow"]) for model in (offloaded, plain))
    assert ours.tokens.dtype == torch.bfloat16
    assert (ours.tokens - theirs.tokens).abs().max() < 0.1 * theirs.tokens.abs().max()
    if ours.pooled is not None:
        assert ours.pooled.dtype == torch.bfloat16


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ConfigurationError, match="float8"):
        load_model("inpaint-a", dtype="float8")


def test_a_gpu_runs_stable_diffusion_unless_another_model_is_asked_for():
    assert default_model("cpu") == "inpaint-a"
    assert default_model("cuda:1") == "stable-diffusion-v1-5/stable-diffusion-inpainting"


def test_a_missing_gpu_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="--gpu needs a CUDA device"):
        require_device("cuda")


@pytest.mark.parametrize("device", ["mps", "gpu", "", "cuda:", "cuda:x"])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(ConfigurationError, match="expected 'cpu', 'cuda' or 'cuda:<number>'"):
        require_device(device)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_device("cuda")
    require_device("cuda:1")
    with pytest.raises(ModelError, match="no device 'cuda:2': torch sees 2"):
        require_device("cuda:2")


@pytest.mark.usefixtures("any_precision")
def test_half_precision_edits_close_to_full():
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    full = load_model("inpaint-a").encode(images)
    half = load_model("inpaint-a", dtype="bfloat16").encode(images)
    assert half.dtype == torch.float32
    assert (full - half).abs().mean() < 0.05 * full.abs().mean()
