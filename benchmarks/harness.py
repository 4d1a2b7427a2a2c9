"""python benchmarks/harness.py [--preset P] [--store DIR] [--json]: what the harness costs beside models and metrics.

Evaluates noise, encoder and diffusion attack from nothing, then again from the finished store, as `photoguard-eval run`
does, and says how long each took and which share passed outside of attacks, edits, metrics and the loading of networks.
With the store of a finished evaluation the first run is warm too, and the second alone is worth reading.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from measuring import seconds_of
from tabulate import tabulate

from photoguard_eval.app.main import main as photoguard_eval
from photoguard_eval.attacks import GradientAttack, NoiseAttack
from photoguard_eval.diffusion import Editor
from photoguard_eval.metrics.base import DistributionMetric, PairwiseMetric, PromptMetric
from photoguard_eval.metrics.features import EmbeddedClipFeatures
from photoguard_eval.pipeline.session import ModelChoice

WORK = (
    (GradientAttack, "perturb"),
    (NoiseAttack, "perturb"),
    (Editor, "edit"),
    (PairwiseMetric, "compute"),
    (PromptMetric, "compute"),
    (DistributionMetric, "compute"),
    (EmbeddedClipFeatures, "features"),
    (ModelChoice, "load"),
)
"""What an evaluation is for; all else is the harness."""

LIBRARIES = ("diffusers", "matplotlib.pyplot", "open_clip", "piq", "torchmetrics.image.fid", "torchmetrics.image.kid")
"""Imported before anything is timed."""


@dataclass(frozen=True)
class HarnessCost:
    """What two runs of one evaluation took.

    Attributes:
        cold_seconds: Of the first, after imports.
        outside_share: Share of the first that passed outside of `WORK`.
        warm_seconds: Of the second, which finds everything in the store, page included.
    """

    cold_seconds: float
    outside_share: float
    warm_seconds: float


class Stopwatch:
    """Sums the time that passes in calls, those inside of other calls once."""

    def __init__(self) -> None:
        """Start at zero."""
        self.seconds = 0.0
        self._depth = 0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is timed."""

        @functools.wraps(call)
        def run(*arguments: Any, **named: Any) -> Any:
            self._depth += 1
            started = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - started

        return run

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Time `WORK` meanwhile."""
        with contextlib.ExitStack() as stack:
            for owner, name in WORK:
                stack.enter_context(patch.object(owner, name, self.timed(getattr(owner, name))))
            yield


def measure_harness(preset: str, store: Path) -> HarnessCost:
    """Run an evaluation twice.

    Args:
        preset: Its preset.
        store: Its store; empty for a cold first run.
    """
    for library in LIBRARIES:
        importlib.import_module(library)
    with tempfile.TemporaryDirectory() as reports:
        arguments = ["run", "--quiet", "--preset", preset, "--store", str(store), "--reports", reports]

        def run() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                code = photoguard_eval(arguments)
            if code:
                raise SystemExit(code)

        stopwatch = Stopwatch()
        with stopwatch.watching():
            cold = seconds_of(run)
        return HarnessCost(cold, 1 - stopwatch.seconds / cold, seconds_of(run))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="ci", help="smoke, ci or paper (default: ci)")
    parser.add_argument("--store", type=Path, help="store of the evaluation (default: a new one)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure_harness(options.preset, options.store or Path(folder) / "store")
    print(json.dumps(asdict(result)) if options.json else tabulate([asdict(result)], headers="keys", floatfmt=".3g"))


if __name__ == "__main__":
    main()
