"""The text-image model that embeds images and texts into one space: a CLIP that open_clip loads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval import resources
from photoguard_eval.errors import MetricError, UnknownNameError
from photoguard_eval.files import sha256_of_file, sha256_of_json
from photoguard_eval.metrics.checks import require_images

if TYPE_CHECKING:
    import torch

DEFAULT_CLIP = "ViT-B-32-quickgelu:openai"
"""The text-image model for Stable Diffusion: OpenAI's CLIP with the activation it was trained with."""

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"


class TextImageModel:
    """A CLIP of open_clip: embeds images and texts into one space. It is loaded when first used."""

    def __init__(self, name: str) -> None:
        """Name the model.

        Args:
            name: A folder in open_clip's format, or `architecture:pretrained` as open_clip knows them.

        Raises:
            MetricError: If it is a folder that is not in open_clip's format.
        """
        self.folder = Path(name) if Path(name).is_dir() else None
        self.name = self.folder.name if self.folder else name
        if self.folder:
            missing = [file for file in (CONFIG, WEIGHTS) if not (self.folder / file).is_file()]
            if missing:
                raise MetricError(
                    f"{name} is no CLIP in open_clip's format: {', '.join(missing)} missing. Give a folder with both, "
                    f"or a name such as {DEFAULT_CLIP}."
                )

    def require(self) -> None:
        """Make sure that a model of the hub is there; a folder was looked into when it was named.

        Raises:
            MetricError: If it can neither be found in the hub's cache nor be fetched.
        """
        if self.folder is None:
            self._loaded()

    @property
    def is_embedded(self) -> bool:
        """Whether it is the CLIP that the package carries, which knows drawn scenes and no photographs."""
        return self.folder is not None and self.folder.resolve() == resources.embedded_clip().resolve()

    @cached_property
    def identity(self) -> str:
        """Name and, for a folder, hash of weights and configuration; known without loading the model."""
        if self.folder is None:
            return f"open_clip {self.name}"
        return f"{self.name} {sha256_of_json([sha256_of_file(self.folder / name) for name in (CONFIG, WEIGHTS)])[:12]}"

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images.

        An image is resized to the model's size as a whole, with antialiasing; one that is not square is squeezed rather
        than cropped, since an edit may be anywhere.

        Args:
            images: Shape (N, 3, H, W) in [0, 1].

        Returns:
            Shape (N, D), float32, not normalised.

        Raises:
            MetricError: If the images are of another shape or type, not finite, or outside of the range.
        """
        import torch
        from torch.nn.functional import interpolate

        require_images(f"CLIP {self.name}", images)
        model, _, config = self._loaded()
        size = config["size"]
        if tuple(images.shape[-2:]) != size:
            images = interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        mean, std = (torch.tensor(config[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
        with torch.no_grad():
            embeddings: torch.Tensor = model.encode_image((images.float().cpu() - mean) / std)
        return embeddings.float()

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed texts: shape (N, D), float32, not normalised."""
        import torch

        model, tokenizer, _ = self._loaded()
        with torch.no_grad():
            embeddings: torch.Tensor = model.encode_text(tokenizer(list(texts)))
        return embeddings.float()

    def _loaded(self) -> tuple[Any, Any, dict[str, Any]]:
        return _load(f"local-dir:{self.folder.resolve()}" if self.folder else self.name)


@lru_cache(maxsize=2)
def _load(name: str) -> tuple[Any, Any, dict[str, Any]]:
    import open_clip
    import torch

    architecture, pretrained = (name, None) if name.startswith("local-dir:") else (*name.split(":"), None)[:2]
    try:
        # Without require_pretrained, missing weights only warn and the model is random. Creating a model draws weights
        # before it loads the real ones; the global generator must not notice.
        with torch.random.fork_rng(devices=[]):
            model = open_clip.create_model(architecture, pretrained=pretrained, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(architecture)
    except Exception as error:
        raise MetricError(
            f"The CLIP {name} cannot be loaded by open_clip: {error}. Where there is no access to the hub, give a "
            f"folder with {CONFIG} and {WEIGHTS}."
        ) from error
    visual = open_clip.get_model_preprocess_cfg(model)
    size = visual["size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    return model.eval().requires_grad_(False), tokenizer, {**visual, "size": size}


def select_clip(choice: str, embedded_model: bool) -> TextImageModel:
    """Choose the text-image model.

    Args:
        choice: "auto" takes the embedded CLIP for an embedded model, whose domain it was trained on, and OpenAI's for
            others; "embedded"; a folder; or `architecture:pretrained`.
        embedded_model: Whether the edits come from an embedded model.

    Raises:
        UnknownNameError: If the choice is none of these.
    """
    if choice == "embedded" or (choice == "auto" and embedded_model):
        return TextImageModel(str(resources.embedded_clip()))
    if choice == "auto":
        return TextImageModel(DEFAULT_CLIP)
    if Path(choice).is_dir() or choice.count(":") == 1:
        return TextImageModel(choice)
    raise UnknownNameError(
        "CLIP",
        choice,
        ["auto", "embedded"],
        f"Or give a folder in open_clip's format, or a name such as {DEFAULT_CLIP}.",
    )
