"""What a user asks for, whichever door it came through."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from photoguard_eval import resources
from photoguard_eval.attacks import DEFAULT_BUDGET, AttackChoice, Ball
from photoguard_eval.attacks.ball import distinct_balls
from photoguard_eval.diffusion import default_model
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.pipeline.child import peak_resident_mib
from photoguard_eval.pipeline.presets import DEFAULT_ATTACKS
from photoguard_eval.pipeline.session import DEFAULT_ATTACK_TIMEOUT, Limits, ModelChoice
from photoguard_eval.pipeline.steps.keys import Placement
from photoguard_eval.purifiers import PurifierChoice
from photoguard_eval.randomness import require_seed

EMBEDDED_DATASET = "emoji-scenes"
DEFAULT_DATASET = "photos"
DEFAULT_PRESET = "ci"


@dataclass(frozen=True)
class EvaluationRequest:
    """What a user asks for.

    Attributes:
        model: An embedded checkpoint, a diffusers folder, a safetensors file or a hub id; "" for the one that suits the
            device.
        revision: Commit of a hub model.
        dataset: A dataset of the package or a folder; "" for the one that suits the model.
        preset: Name of a preset.
        attacks: Specs of the attacks, see `photoguard_eval.plugins.registry`, classes or instances.
        purifiers: What is done to the images before they are edited, each in rows of its own beside those without one:
            specs, classes or instances.
        budgets: Of the attacks that have none of their own, each as `Ball.parse` takes it; none for the paper's.
        seed: Of everything random but the edits, whose seeds are the dataset's.
        device: "cpu" or "cuda".
        dtype: "float32", "float16" or "bfloat16".
        batch_size: How many images run at once at most; on a GPU fewer where its memory does not hold so many.
        workers: Processes that share the work; None for one on a processor and one for each visible GPU.
        executor: Where work runs, see `photoguard_eval.pipeline.executors`; "" for this process, or for processes
            where there are several workers.
        address: Of a cluster, for an executor that has one.
        threads: Threads of torch in each process; None for all of the processor's, shared among the workers.
        attack_timeout: Seconds that an attack of others may take for an image.
        attack_memory: Mebibytes that its process may take; None for any.
        trusted: Whether attacks of others run in this process, for debugging.
        settings: Settings of the edits that differ from the preset's, by name; see `EditSettings`.
        extractor: Feature extractor of the distribution metrics, see `photoguard_eval.metrics`.
        clip: Text-image model of the prompt metric, see `photoguard_eval.metrics`.
        checkpointing: See `load_model`.
        vae_tiling: See `load_model`.
        cpu_offload: See `load_model`.
        compiled: See `load_model`.
    """

    model: str = ""
    revision: str | None = None
    dataset: str = ""
    preset: str = DEFAULT_PRESET
    attacks: tuple[AttackChoice, ...] = DEFAULT_ATTACKS
    purifiers: tuple[PurifierChoice, ...] = ()
    budgets: tuple[str, ...] = ()
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int = 12
    workers: int | None = None
    executor: str = ""
    address: str = ""
    threads: int | None = None
    attack_timeout: float = DEFAULT_ATTACK_TIMEOUT
    attack_memory: float | None = None
    trusted: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    extractor: str = "auto"
    clip: str = "auto"
    checkpointing: bool | None = None
    vae_tiling: bool = False
    cpu_offload: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        """Fill in the model that suits the device, and the dataset that suits the model."""
        model = self.model or default_model(self.device)
        embedded = model in resources.embedded_checkpoints()
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "dataset", self.dataset or (EMBEDDED_DATASET if embedded else DEFAULT_DATASET))

    @property
    def placement(self) -> Placement:
        """Where and how the model computes."""
        return Placement(self.dtype, self.device, self.vae_tiling, self.cpu_offload, self.compiled)

    @cached_property
    def balls(self) -> tuple[Ball, ...]:
        """The budgets; a board has one of each.

        Raises:
            ConfigurationError: If one is no budget, or two differ by rounding.
        """
        return distinct_balls(self.budgets) if self.budgets else (DEFAULT_BUDGET,)

    @property
    def limits(self) -> Limits:
        """What attacks of others may take."""
        return Limits(self.attack_timeout, self.attack_memory)

    @property
    def model_choice(self) -> ModelChoice:
        """The model and how it is loaded."""
        return ModelChoice(
            self.model,
            device=self.device,
            dtype=self.dtype,
            revision=self.revision,
            checkpointing=self.checkpointing,
            vae_tiling=self.vae_tiling,
            cpu_offload=self.cpu_offload,
            compiled=self.compiled,
        )

    def require_sound(self) -> None:
        """Check what can be checked of the request by itself.

        Raises:
            ConfigurationError: If a value is out of range.
        """
        if self.batch_size < 1:
            raise ConfigurationError(f"The batch size is {self.batch_size}; expected at least 1.")
        for name, count in (("workers", self.workers), ("threads", self.threads)):
            if count is not None and count < 1:
                raise ConfigurationError(f"The number of {name} is {count}; expected at least 1.")
        if not self.attack_timeout > 0:
            raise ConfigurationError(f"The attack timeout is {self.attack_timeout:g} s; expected more than 0.")
        if self.attack_memory is not None and not self.attack_memory > 0:
            raise ConfigurationError(f"The memory of an attack is {self.attack_memory:g} MiB; expected more than 0.")
        if self.attack_memory is not None and not peak_resident_mib(os.getpid()):
            raise ConfigurationError(
                "This system does not say how much memory a process takes (there is no /proc), so --attack-memory "
                "cannot be kept. Leave it out."
            )
        require_seed(self.seed)
