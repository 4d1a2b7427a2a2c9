"""The one table of options, for the command line and the pytest suite alike.

An option that decides an evaluation names the field of `EvaluationRequest` that it fills. So a new one is a line here:
both doors take it, and both hand it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photoguard_eval.pipeline.request import EvaluationRequest


def _as_given(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Option:
    """An option of a command, or of the suite.

    Attributes:
        name: Its long name without dashes, or the name of a positional argument.
        help: What it does. Its default is added.
        default: Its value where it is not given.
        type: Reads its text.
        choices: The values that are allowed; () for any.
        metavar: What stands for its value in the help.
        is_flag: Whether it takes no value.
        repeated: Whether it may be given several times; its value is then a list.
        required: Whether it must be given.
        positional: Whether it is an argument without a name.
        letter: A short name with its dash, on the command line alone.
        field: The field of `EvaluationRequest` that it fills; "" for none.
        reads: Turns its value into that field's; None keeps the field's default.
    """

    name: str
    help: str
    default: Any = None
    type: Callable[[str], Any] | None = None
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    is_flag: bool = False
    repeated: bool = False
    required: bool = False
    positional: bool = False
    letter: str = ""
    field: str = ""
    reads: Callable[[Any], Any] = _as_given

    @property
    def destination(self) -> str:
        """The name of its value as Python spells it."""
        return self.name.replace("-", "_")

    @property
    def names(self) -> tuple[str, ...]:
        """How the command line calls it."""
        if self.positional:
            return (self.name,)
        return (self.letter, f"--{self.name}") if self.letter else (f"--{self.name}",)

    @property
    def keywords(self) -> dict[str, Any]:
        """How argparse and pytest declare it, its names and destination aside."""
        if self.is_flag:
            return {"help": self.help, "action": "store_true"}
        shown = "" if self.default in (None, "") else f" (default: {self.default})"
        given = {
            "type": self.type,
            "choices": self.choices,
            "metavar": self.metavar,
            "action": "append" if self.repeated else None,
            "required": self.required,
        }
        return {
            "help": self.help + shown,
            "default": self.default,
            **{name: value for name, value in given.items() if value},
        }

    def but(self, **changes: Any) -> Option:
        """Return the option with other facts, for a command that differs.

        >>> PRESET.but(default="paper").keywords["help"]
        'smoke, ci or paper (default: paper)'
        """
        return replace(self, **changes)


def _cuda_if_asked(wanted: bool) -> str | None:
    return "cuda" if wanted else None


def _false_if_asked(wanted: bool) -> bool | None:
    return False if wanted else None


def _settings(texts: list[str]) -> Mapping[str, str]:
    from photoguard_eval.pipeline.presets import parse_settings

    return parse_settings(texts)


MODEL = Option(
    "model",
    "embedded checkpoint, diffusers folder, safetensors file or hub id (default: inpaint-a, with --gpu Stable "
    "Diffusion)",
    metavar="NAME",
    field="model",
)
REVISION = Option("revision", "commit of a hub model", metavar="COMMIT", field="revision")
GPU = Option("gpu", "run on the GPU", is_flag=True, field="device", reads=_cuda_if_asked)
DTYPE = Option("dtype", "what to compute in", "float32", choices=("float32", "float16", "bfloat16"), field="dtype")
NO_CHECKPOINTING = Option(
    "no-checkpointing",
    "on a GPU, keep all activations for the gradient rather than compute them again: faster, much more memory",
    is_flag=True,
    field="checkpointing",
    reads=_false_if_asked,
)
PRESET = Option("preset", "smoke, ci or paper", "ci", metavar="NAME", field="preset")
SEED = Option("seed", "of everything random but the edits", 0, type=int, metavar="N", field="seed")
STORE = Option("store", "folder of the artifacts", Path(".photoguard/store"), type=Path, metavar="DIR")
REPORTS = Option("reports", "where to write the leaderboard", Path("reports"), type=Path, metavar="DIR")
QUIET = Option("quiet", "report no progress", is_flag=True)
DEBUG = Option("debug", "show whole tracebacks of what fails", is_flag=True)
JSON = Option("json", "print as JSON", is_flag=True)
FAIL_FAST = Option("fail-fast", "end the run at the first attack that fails", is_flag=True)
BASELINE = Option(
    "baseline",
    "the baseline (default: your own below ./baselines, else the one that the package carries)",
    type=Path,
    metavar="FILE",
)
BLESS = Option("bless", "record the result as the new baseline, and say where (see --baseline)", is_flag=True)
MASK_FROM = Option(
    "mask-from",
    "what of a mask's file is to be edited: its white, what is transparent, or what is opaque",
    "colour",
    choices=("colour", "transparent", "opaque"),
)

MODEL_OPTIONS = (
    MODEL,
    REVISION,
    GPU,
    DTYPE,
    NO_CHECKPOINTING,
    Option(
        "vae-tiling",
        "pass images larger than the autoencoder was trained on through it in tiles: less memory, other results",
        is_flag=True,
        field="vae_tiling",
    ),
    Option("cpu-offload", "keep the text encoders on the processor", is_flag=True, field="cpu_offload"),
    Option(
        "compile",
        "compile the networks with torch.compile: minutes at the start, less time for every step of a long run",
        is_flag=True,
        field="compiled",
    ),
    Option(
        "setting",
        "a setting of the edits other than the preset's, such as num_inference_steps=50, guidance_scale=5 or "
        "composite=immunized; repeat it for several",
        repeated=True,
        metavar="NAME=VALUE",
        field="settings",
        reads=_settings,
    ),
)
"""Which model runs, where and how."""

CASE_OPTIONS = (
    Option(
        "dataset",
        "name or folder of the dataset (default: emoji-scenes for embedded models, photos for others)",
        metavar="NAME",
        field="dataset",
    ),
    PRESET,
    Option("batch-size", "images at once at most", 12, type=int, metavar="N", field="batch_size"),
    Option(
        "workers",
        "processes that share the work (default: one on a processor, one for each visible GPU)",
        type=int,
        metavar="N",
        field="workers",
    ),
    Option("extractor", "features of FID, KID, precision and recall", "auto", metavar="NAME", field="extractor"),
    Option("clip", "text-image model of the CLIP similarity", "auto", metavar="NAME", field="clip"),
)
"""Which edits are evaluated, and how they are measured."""

ATTACK_OPTIONS = (
    Option(
        "attack",
        "an attack, with arguments if wanted: encoder,target=zero; a module:Class, file.py:Class or a folder of "
        "finished images. Repeat it for several (default: noise, encoder and diffusion)",
        repeated=True,
        metavar="SPEC",
        field="attacks",
        reads=tuple,
    ),
    Option(
        "budget",
        "a budget of the attacks, as 16/255 or l2:8/255; repeat it for several (default: 16/255)",
        repeated=True,
        metavar="BALL",
        field="budgets",
        reads=tuple,
    ),
    Option(
        "purifier",
        "what is done to the images before they are edited, such as jpeg,quality=50; repeat it for several. Each has "
        "rows of its own, beside those without one",
        repeated=True,
        metavar="SPEC",
        field="purifiers",
        reads=tuple,
    ),
    SEED,
)
"""What is evaluated."""

EXECUTOR_OPTIONS = (
    Option(
        "executor",
        "where the work runs: serial, processes or ray (default: processes for several workers, else serial)",
        metavar="NAME",
        field="executor",
    ),
    Option("address", "of a Ray cluster: auto, ray://HOST:PORT or local", metavar="ADDRESS", field="address"),
    Option(
        "threads", "threads of each process (default: the processor's, shared)", type=int, metavar="N", field="threads"
    ),
)
"""Where the work runs."""

ISOLATION_OPTIONS = (
    Option(
        "attack-timeout",
        "seconds that an attack of others may take for an image",
        3600.0,
        type=float,
        metavar="SECONDS",
        field="attack_timeout",
    ),
    Option(
        "attack-memory",
        "mebibytes that the process of an attack of others may take (default: any)",
        type=float,
        metavar="MIB",
        field="attack_memory",
    ),
    Option(
        "trusted",
        "run attacks of others in this process, for debugging; the result says so",
        is_flag=True,
        field="trusted",
    ),
)
"""What attacks of others may do."""

EVALUATION_OPTIONS = (
    *MODEL_OPTIONS,
    *CASE_OPTIONS,
    *ATTACK_OPTIONS,
    *EXECUTOR_OPTIONS,
    *ISOLATION_OPTIONS,
    STORE,
    QUIET,
)
"""All that decides an evaluation, and where its artifacts lie."""

SUITE_OPTIONS = (*EVALUATION_OPTIONS, REPORTS, BASELINE, BLESS, FAIL_FAST, DEBUG)
"""What `photoguard-eval run` and the suite take."""


def request_of(value_of: Callable[[Option], Any], options: Iterable[Option] = EVALUATION_OPTIONS) -> EvaluationRequest:
    """Turn parsed options into a request; what was not given keeps its default.

    Args:
        value_of: Returns an option's parsed value, or None where the command lacks the option.
        options: The options that are read.

    Raises:
        ConfigurationError: If a setting is none of an edit.
    """
    from photoguard_eval.pipeline.request import EvaluationRequest

    values = {option: value_of(option) for option in options if option.field}
    read = {option.field: option.reads(value) for option, value in values.items() if value is not None}
    return EvaluationRequest(**{field: value for field, value in read.items() if value is not None})
