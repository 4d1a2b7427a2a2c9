"""Checkpoints in one safetensors file, in the layout of the released code: converted once to diffusers' folder.

The file does not say how its networks are built. That follows from the shapes of a few weights, which tell the
published models apart whose architectures the package carries. The tokenizer is not in the file either; all of these
models use CLIP's, whose vocabulary open_clip carries.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from photoguard_eval.diffusion.checkpoints.hub import published_architectures
from photoguard_eval.errors import ModelError
from photoguard_eval.files import sha256_of_file

SUFFIX = ".safetensors"

FIRST_WEIGHT = "model.diffusion_model.input_blocks.0.0.weight"
"""Of the UNet's first convolution, (width, input channels, 3, 3)."""

PROMPT_WEIGHTS = (
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
)
"""Of the first cross-attention, (width, width of the prompt embeddings); Stable Diffusion XL has it a level lower."""

MODELS = {
    (768, 4): "stable-diffusion-v1-5/stable-diffusion-v1-5",
    (768, 8): "timbrooks/instruct-pix2pix",
    (768, 9): "stable-diffusion-v1-5/stable-diffusion-inpainting",
    (1024, 9): "sd2-community/stable-diffusion-2-inpainting",
    (2048, 4): "stabilityai/stable-diffusion-xl-base-1.0",
    (2048, 9): "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
}
"""Which model's architecture a file has, by the width of the prompt embeddings and the UNet's input channels.

Text-to-image checkpoints of Stable Diffusion 2 are left out: some predict noise and some v, and the file does not say.
"""

CLASSES = {
    "vae": ["diffusers", "AutoencoderKL"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
}

MERGES = 49408 - 2 * 256 - 2
"""How many of the merges CLIP uses: what its 49408 tokens leave; see `clip_vocabulary`."""


def convert_single_file(path: Path) -> Path:
    """Convert a checkpoint in one file to a diffusers folder in the cache, or find it converted.

    Args:
        path: A `.safetensors` file that holds UNet, autoencoder and text encoders.

    Returns:
        A folder named after the file's hash.

    Raises:
        ModelError: If the file is pickled, damaged, or of no model that is told from the shapes of its weights.
    """
    if path.suffix != SUFFIX:
        raise ModelError(
            f"{path} is no safetensors file. Pickled checkpoints (.ckpt, .pt, .bin) can run code when they are read, "
            "so they are refused. Convert it with diffusers' `save_pretrained`."
        )
    shapes, dtype = _read_header(path)
    name = _model_of(path, shapes)
    from huggingface_hub.constants import HF_HOME

    folder = Path(HF_HOME) / "photoguard-eval" / sha256_of_file(path)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        configuration, converted = Path(work) / "configuration", Path(work) / "converted"
        write_configuration(configuration, json.loads(published_architectures()[name].read_text(encoding="utf-8")))
        _convert(path, configuration, converted, dtype)
        # Renamed in one step, so that a folder in the cache is whole.
        converted.rename(folder)
    return folder


def clip_vocabulary() -> tuple[dict[str, int], list[str]]:
    """Return the tokens of CLIP with their numbers, and the merges that make them (Radford et al. 2021, Section 2.4).

    The tokens are the bytes, the bytes that end a word, one for each merge, and the marks of beginning and end.
    """
    from open_clip.tokenizer import bytes_to_unicode

    packed = resources.files("open_clip") / "bpe_simple_vocab_16e6.txt.gz"
    with resources.as_file(packed) as file, gzip.open(file, "rt", encoding="utf-8") as lines:
        merges = lines.read().split("\n")[1 : MERGES + 1]
    characters = list(bytes_to_unicode().values())
    tokens = [*characters, *(f"{character}</w>" for character in characters), *("".join(m.split()) for m in merges)]
    return {token: number for number, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}, merges


def _read_header(path: Path) -> tuple[dict[str, list[int]], Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            dtype = file.get_tensor(FIRST_WEIGHT).dtype if FIRST_WEIGHT in shapes else None
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read ({error}). Fetch the file again.") from error
    return shapes, dtype


def _model_of(path: Path, shapes: Mapping[str, list[int]]) -> str:
    prompt = next((shapes[name] for name in PROMPT_WEIGHTS if name in shapes), None)
    signature = (prompt[1], shapes[FIRST_WEIGHT][1]) if prompt and FIRST_WEIGHT in shapes else None
    if signature not in MODELS:
        found = f"prompts {signature[0]} wide and {signature[1]} input channels" if signature else "no UNet"
        raise ModelError(
            f"{path} has {found}; supported are whole checkpoints of Stable Diffusion 1, of 2 for inpainting and of XL "
            "in the released layout. Convert another to a folder with diffusers' `from_single_file` and "
            "`save_pretrained`, and give that."
        )
    return MODELS[signature]


def write_configuration(folder: Path, architecture: Mapping[str, Any]) -> None:
    """Write a diffusers folder without weights: configurations, tokenizers and the index.

    Args:
        folder: Where to; a new folder.
        architecture: Configurations by component, as those of `published_architectures`.
    """
    second = "text_encoder_2" in architecture
    index = {
        "_class_name": "StableDiffusionXLPipeline" if second else "StableDiffusionPipeline",
        **{name: kind for name, kind in CLASSES.items() if second or not name.endswith("_2")},
        **({"force_zeros_for_empty_prompt": True} if second else {}),
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
    }
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps(index))
    for name in CLASSES.keys() & index.keys():
        (folder / name).mkdir()
        if name.startswith("tokenizer"):
            _tokenizer(architecture, name).save_pretrained(folder / name)
            continue
        file = "scheduler_config.json" if name == "scheduler" else "config.json"
        (folder / name / file).write_text(json.dumps(architecture[name]))


def _tokenizer(architecture: Mapping[str, Any], name: str) -> Any:
    from transformers import CLIPTokenizer

    vocabulary, merges = clip_vocabulary()
    # Typed as texts in transformers, which hands them on to what takes pairs.
    pairs: list[Any] = [tuple(merge.split()) for merge in merges]
    # OpenAI's text encoder, 768 wide, was trained on prompts that are filled up with their end; OpenCLIP's with "!".
    text = architecture[name.replace("tokenizer", "text_encoder")]
    padding = "<|endoftext|>" if text["hidden_size"] <= 768 else "!"
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=pairs,
        pad_token=padding,
        model_max_length=text["max_position_embeddings"],
    )


def _convert(path: Path, configuration: Path, converted: Path, dtype: Any) -> None:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
    from diffusers.loaders.single_file_utils import SingleFileComponentError
    from diffusers.utils import logging

    logging.disable_progress_bar()
    second = (configuration / "text_encoder_2").is_dir()
    pipeline_class: Any = StableDiffusionXLPipeline if second else StableDiffusionPipeline
    options = {} if second else {"safety_checker": None, "requires_safety_checker": False}
    try:
        pipeline = pipeline_class.from_single_file(
            str(path), config=str(configuration), local_files_only=True, torch_dtype=dtype, **options
        )
    except (OSError, ValueError, RuntimeError, KeyError, SingleFileComponentError) as error:
        raise ModelError(
            f"{path} cannot be converted ({error}). It must hold the UNet, the autoencoder and the text encoders."
        ) from error
    pipeline.save_pretrained(converted)
    shutil.rmtree(converted / "feature_extractor", ignore_errors=True)
