"""What every key of an artifact holds besides the artifact's own inputs: code, libraries, and how images are edited."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoguard_eval import resources
from photoguard_eval.code import sha256_of_code
from photoguard_eval.diffusion import Editor, EditSettings, ModelIdentity
from photoguard_eval.errors import DatasetError
from photoguard_eval.files import sha256_of_file, sha256_of_json
from photoguard_eval.images.arrays import read_image
from photoguard_eval.images.masks import MaskSource, read_mask
from photoguard_eval.plugins.registry import Plugin

if TYPE_CHECKING:
    import torch

EDIT_CODE = ("images", "randomness.py", "diffusion", "pipeline/steps/edit.py")
"""What of this package decides how an edit comes out."""

EDIT_LIBRARIES = ("torch", "diffusers", "transformers", "pillow")


@dataclass(frozen=True)
class Placement:
    """Where and how a model computes, as far as its numbers depend on it.

    Attributes:
        dtype: "float32", "float16" or "bfloat16".
        device: "cpu" or "cuda".
        vae_tiling: See `load_model`.
        cpu_offload: See `load_model`; it changes at most the rounding of the text embeddings, as a device does.
        compiled: See `load_model`.
    """

    dtype: str
    device: str = "cpu"
    vae_tiling: bool = False
    cpu_offload: bool = False
    compiled: bool = False


@dataclass(frozen=True)
class Editing:
    """How images are edited, and so what an attack works against.

    Attributes:
        model: The model.
        placement: Where it computes.
        editor: The editor.
        settings: Its settings.
    """

    model: ModelIdentity
    placement: Placement
    editor: Plugin[Editor]
    settings: EditSettings

    def facts(self, settings: EditSettings) -> dict[str, Any]:
        """Return what a key holds of it.

        Args:
            settings: Those of the settings that the image depends on; the others at their defaults.
        """
        return {
            "model": self.model.weights_sha256,
            "placement": vars(self.placement),
            "machine": platform.machine(),
            "libraries": library_versions(EDIT_LIBRARIES),
            "editor": [self.editor.name, self.editor.inputs, self.editor.fingerprint, settings.model_dump(mode="json")],
        }


@dataclass(frozen=True)
class PictureFile:
    """A file of an image or mask, known by its content.

    Attributes:
        path: Where it lies.
        sha256: Of its content.
        mask_source: What of a mask's file marks the region to edit, see `photoguard_eval.images.masks`.
    """

    path: Path
    sha256: str
    mask_source: MaskSource = "colour"

    @property
    def identity(self) -> str:
        """What a key holds of it: its content, and how it is read."""
        return self.sha256 if self.mask_source == "colour" else sha256_of_json([self.sha256, self.mask_source])

    def image(self) -> torch.Tensor:
        """Read it as an image: (1, 3, H, W), float32 in [0, 1].

        Raises:
            DatasetError: If it has changed since its content was hashed.
        """
        self._require_unchanged()
        return read_image(self.path)

    def mask(self) -> torch.Tensor:
        """Read it as a mask: (1, 1, H, W), float32, 1 = region to edit.

        Raises:
            DatasetError: As `image`.
        """
        self._require_unchanged()
        return read_mask(self.path, self.mask_source)

    def _require_unchanged(self) -> None:
        if sha256_of_file(self.path) != self.sha256:
            raise DatasetError(f"{self.path} was changed while the run went on. Restore it, or run again.")


@lru_cache
def code_fingerprint(parts: tuple[str, ...]) -> str:
    """Hash what files and folders of this package do, so that changed code is never mistaken for the old.

    Comments and docstrings do not count.

    Args:
        parts: Paths within the package.
    """
    files: list[Path] = []
    for part in parts:
        path = resources.PACKAGE / part
        files.extend(sorted(path.rglob("*.py")) if path.is_dir() else [path])
    return sha256_of_json([[str(file.relative_to(resources.PACKAGE)), sha256_of_code(file)] for file in files])


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Return the installed versions of libraries, without importing them."""
    return {name: _installed_version(name) for name in names}


@lru_cache
def _installed_version(library: str) -> str:
    # Reading a library's metadata takes milliseconds, and every key holds some versions.
    return metadata.version(library)
