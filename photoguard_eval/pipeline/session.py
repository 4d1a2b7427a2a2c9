"""What whoever computes must know of an evaluation, wherever that is: the model, and how each attack is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from photoguard_eval.diffusion import load_model

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion


@dataclass(frozen=True)
class ModelChoice:
    """A model and how it is loaded; see `photoguard_eval.diffusion.load_model`.

    Attributes:
        name: An embedded checkpoint, a diffusers folder, a safetensors file or a hub id.
        device: "cpu" or "cuda".
        dtype: "float32", "float16" or "bfloat16".
        revision: Commit of a hub model.
        checkpointing: Whether activations are computed again for the gradient.
        vae_tiling: Whether large images pass the autoencoder in tiles.
        cpu_offload: Whether the text encoders stay on the processor.
        compiled: Whether the networks are compiled.
    """

    name: str
    device: str = "cpu"
    dtype: str = "float32"
    revision: str | None = None
    checkpointing: bool | None = None
    vae_tiling: bool = False
    cpu_offload: bool = False
    compiled: bool = False

    def load(self) -> LatentDiffusion:
        """Load it.

        Raises:
            ModelError: If it cannot be loaded.
        """
        options = {name: value for name, value in vars(self).items() if name != "name"}
        return load_model(self.name, **options)


@dataclass(frozen=True)
class PluginSource:
    """How an attack or a purifier is built in another process.

    Attributes:
        spec: By which it is created; for a class or an object that was given directly, its label.
        pickled: The class that was given directly, by cloudpickle; b"" for one that the spec names.
        described: What an attack says of itself, where its code is not this package's, so that it runs in a process of
            its own; None for an attack of this package, one that is trusted, and a purifier.
        files: What it is made of and given, see `photoguard_eval.pipeline.luggage`: absolute paths.
        folder: From which relative paths of the spec are read.
        search: Folders in which its modules are found, besides Python's own.
        contents: Of the files, where another machine is to have them.
    """

    spec: str
    pickled: bytes = b""
    described: Mapping[str, Any] | None = None
    files: tuple[str, ...] = ()
    folder: str = ""
    search: tuple[str, ...] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict)


DEFAULT_ATTACK_TIMEOUT = 3600.0
"""An hour for an image: far more than the slowest attack takes, and less than a night for one that never ends."""


@dataclass(frozen=True)
class Limits:
    """What an attack of others may take before it is stopped.

    Attributes:
        seconds: For each image.
        memory_mib: Of its process; None for no limit.
    """

    seconds: float = DEFAULT_ATTACK_TIMEOUT
    memory_mib: float | None = None


@dataclass(frozen=True)
class Session:
    """What whoever computes must know of an evaluation.

    Attributes:
        model: The model.
        preset: Name of the preset, whose defaults the attacks take.
        attacks: How each attack is built, by its label.
        limits: What attacks of others may take.
        threads: Threads of torch; None for as many as torch takes.
        purifiers: How each purifier is built, by its label.
    """

    model: ModelChoice
    preset: str
    attacks: Mapping[str, PluginSource] = field(default_factory=dict)
    limits: Limits = Limits()
    threads: int | None = None
    purifiers: Mapping[str, PluginSource] = field(default_factory=dict)
