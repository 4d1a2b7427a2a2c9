"""Models without weights: their architecture alone, for counting what they would cost.

Their tensors have shapes and no content (PyTorch's fake tensors), so that a model of any size takes no memory, and a
computation with it no time but that of laying it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from photoguard_eval.diffusion.checkpoints.folder import find_checkpoint, read_configurations
from photoguard_eval.diffusion.checkpoints.hub import published_architectures
from photoguard_eval.diffusion.checkpoints.load import empty_is_zero, text_encoder_classes
from photoguard_eval.diffusion.devices import dtype_of
from photoguard_eval.diffusion.model import LatentDiffusion
from photoguard_eval.diffusion.text import TextEncoder

if TYPE_CHECKING:
    import torch


def load_architecture(name_or_path: str, *, dtype: str = "float32", revision: str | None = None) -> LatentDiffusion:
    """Lay out a model without weights.

    Args:
        name_or_path: Hub id, name of an embedded checkpoint or a diffusers folder. For the published models that the
            package describes nothing is downloaded.
        dtype: What the model would compute in.
        revision: Commit, tag or branch of a hub id that the package does not describe.

    Raises:
        UnknownNameError: If a plain name is no embedded checkpoint.
        ModelError: If a folder or hub id is no complete checkpoint, or cannot be had.
        ConfigurationError: If the dtype is unknown.
    """
    numbers = dtype_of(dtype)
    return _lay_out(_configurations(name_or_path, revision), numbers)


def architecture_multiple(name_or_path: str, revision: str | None = None) -> int:
    """Return what the sides of images must be multiples of, from a model's configurations alone.

    Args:
        name_or_path: As `load_architecture` takes it.
        revision: As `load_architecture` takes it.

    Raises:
        PhotoguardError: As `load_architecture` does.
    """
    configurations = _configurations(name_or_path, revision)
    levels = (len(configurations[part]["block_out_channels"]) for part in ("vae", "unet"))
    return int(2 ** sum(count - 1 for count in levels))


def _configurations(name_or_path: str, revision: str | None) -> Mapping[str, Any]:
    published = published_architectures().get(name_or_path)
    if published:
        configurations: Mapping[str, Any] = json.loads(published.read_text(encoding="utf-8"))
        return configurations
    return read_configurations(find_checkpoint(name_or_path, revision))


def _lay_out(configurations: Mapping[str, Any], numbers: torch.dtype) -> LatentDiffusion:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import CLIPTextConfig

    with FakeTensorMode(allow_non_fake_inputs=True), _made_in(numbers):
        vae: Any = AutoencoderKL.from_config(configurations["vae"])  # type: ignore[no-untyped-call]
        unet: Any = UNet2DConditionModel.from_config(configurations["unet"])  # type: ignore[no-untyped-call]
        encoders = tuple(
            kind(CLIPTextConfig(**configurations[name])) for name, kind in text_encoder_classes(configurations).items()
        )
    text = TextEncoder(
        encoders,
        tuple(_BlankTokenizer(encoder.config.max_position_embeddings) for encoder in encoders),
        empty_is_zero(configurations["model"]),
    )
    return LatentDiffusion(vae, unet, text, configurations["scheduler"])


@contextmanager
def _made_in(numbers: torch.dtype) -> Iterator[None]:
    """Make new tensors of a type: fake ones cannot be cast once a module holds them."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(numbers)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class _BlankTokenizer:
    """Stands for a tokenizer where the words do not matter: each is a token, and all tokens are the same."""

    def __init__(self, model_max_length: int) -> None:
        self.model_max_length = model_max_length

    def __call__(self, texts: Sequence[str], *, padding: str | bool = False, **_: Any) -> Any:
        import torch

        if padding:
            return SimpleNamespace(input_ids=torch.zeros((len(texts), self.model_max_length), dtype=torch.long))
        return SimpleNamespace(input_ids=[[0] * (len(text.split()) + 2) for text in texts])
