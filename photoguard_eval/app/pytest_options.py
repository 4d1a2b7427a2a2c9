"""The options of the benchmark suite, by names that no other plug-in of pytest can take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from photoguard_eval.app.cli import DEFAULT_REPORTS, DEFAULT_STORE
from photoguard_eval.pipeline.plan import DEFAULT_PRESET


def add_options(parser: pytest.Parser) -> None:
    """Declare the options of the benchmark suite."""
    add = _Options(parser).add
    add("gpu", action="store_true", help="run on the GPU")
    add("model", metavar="NAME", help="embedded checkpoint, diffusers folder, safetensors file or hub id")
    add("dataset", metavar="NAME", help="name or folder of the dataset")
    add("preset", default=DEFAULT_PRESET, metavar="NAME", help="smoke, ci or paper")
    add(
        "attack",
        action="append",
        default=None,
        metavar="SPEC",
        help="an attack: a name with arguments (encoder,target=zero), module:Class, file.py:Class or a folder of "
        "finished images; repeat it for several",
    )
    add("dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    add("batch-size", type=int, default=12, metavar="N", help="images at once at most")
    add(
        "workers",
        type=int,
        metavar="N",
        help="processes that share the work (default: one on a processor, one for each visible GPU)",
    )
    add("vae-tiling", action="store_true", help="pass large images through the autoencoder in tiles")
    add("cpu-offload", action="store_true", help="keep the text encoders on the processor")
    add("compile", action="store_true", help="compile the networks with torch.compile")
    add(
        "setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the edits other than the preset's; repeat it for several",
    )
    add("store", type=Path, default=DEFAULT_STORE, metavar="DIR", help="folder of the artifacts")
    add("reports", type=Path, default=DEFAULT_REPORTS, metavar="DIR", help="where to write the leaderboard")
    add(
        "baseline",
        type=Path,
        metavar="FILE",
        help="the baseline (default: your own below ./baselines, else the one that the package carries)",
    )
    add("fail-fast", action="store_true", help="end the run at the first attack that fails")
    add("debug", action="store_true", help="show whole tracebacks of attacks that fail")
    add("bless", action="store_true", help="record the results as the new baseline, and say where (see --baseline)")


class _Options:
    """Declares options by short names, where no other plug-in has them, and by names that are this plug-in's alone."""

    def __init__(self, parser: pytest.Parser) -> None:
        self._group = parser.getgroup("photoguard-eval", "benchmark of image immunization (bench/)")
        # pytest tells of a name that is taken by an error alone, of another kind from version to version.
        groups = [getattr(parser, "_anonymous", None), *getattr(parser, "_groups", ())]
        self._taken = {name for group in groups if group for option in group.options for name in option.names()}

    def add(self, name: str, **given: Any) -> None:
        short, own = f"--{name}", f"--photoguard-{name}"
        names = [own] if short in self._taken else [short, own]
        self._group.addoption(*names, dest=_destination(name), **given)


def _destination(name: str) -> str:
    return f"photoguard_{name.replace('-', '_')}"


def option(config: pytest.Config, name: str) -> Any:
    """Return the value of an option by its short name, which another plug-in's may have too."""
    return config.getoption(_destination(name))
