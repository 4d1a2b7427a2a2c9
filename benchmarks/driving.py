"""python benchmarks/driving.py [--tasks N] [--json]: what planning and driving cost for each task, and their memory.

Random noise is planned at as many budgets as N tasks need. Nothing is computed: an executor on paper gives an image
back at once. Reading what work is made of and writing what came of it are measured apart, since a disk decides them.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from tabulate import tabulate

from photoguard_eval.images.arrays import encode_png
from photoguard_eval.pipeline.batching import Batch, cut
from photoguard_eval.pipeline.driver import Driver
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.work import Artifact, EditWork, Finished, Outcome, Work

TASKS_AT_A_BUDGET = 160
"""Of the preset `paper`: 20 images are immunized and 60 cases edited, by two editors."""

AT_ONCE = 12
PNG = encode_png(torch.zeros(3, 64, 64, dtype=torch.uint8))
NOTHING = {"seconds": 0, "gradient_evaluations": 0, "unet_calls": 0, "encoder_calls": 0, "peak_memory_mib": 0}
IMMUNIZED = {"linf_levels": 0, "rms_levels": 0, "cost": {**NOTHING, "batch_size": 1}}


@dataclass(frozen=True)
class DrivingCost:
    """Milliseconds for each task, and mebibytes.

    Attributes:
        tasks: How many.
        plan: Laying out rows.
        keys: Hashing the inputs of every task and cutting batches.
        drive: Handing out work and taking in what came of it.
        read: Reading images and masks.
        write: Writing images and their records.
        memory_mib: By how much all of it let the process grow at most.
    """

    tasks: int
    plan: float
    keys: float
    drive: float
    read: float
    write: float
    memory_mib: float

    @property
    def own(self) -> float:
        """Milliseconds for each task without reading and writing."""
        return self.plan + self.keys + self.drive


class PaperExecutor:
    """Takes work as others do and gives the same image back, in the order of the work."""

    slots = 4

    def __init__(self) -> None:
        """Have no work yet."""
        self._taken: list[tuple[int, Work]] = []

    def submit(self, number: int, work: Work) -> None:
        """Take work."""
        self._taken.append((number, work))

    def next(self) -> tuple[int, Outcome]:
        """Give back the first that was taken."""
        number, work = self._taken.pop(0)
        facts = {} if isinstance(work, EditWork) else IMMUNIZED
        return number, Finished(tuple(Artifact(PNG, facts) for _ in range(len(work))))


class _Clock:
    """Adds up the seconds within some calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def around(self, owner: type, name: str) -> Iterator[None]:
        whole = getattr(owner, name)

        def timed(*arguments: object) -> object:
            start = time.perf_counter()
            try:
                return whole(*arguments)
            finally:
                self.seconds += time.perf_counter() - start

        with patch.object(owner, name, timed):
            yield


def measure_driving(tasks: int) -> DrivingCost:
    """Plan and drive about so many tasks.

    Args:
        tasks: How many at least.
    """
    count = -(-tasks // TASKS_AT_A_BUDGET)
    budgets = tuple(f"l2:{1 + number / 10:.1f}/255" for number in range(count))
    before, start = _peak_mib(), time.perf_counter()
    plan = build_plan(EvaluationRequest(preset="paper", attacks=("noise",), budgets=budgets))
    planned = time.perf_counter()
    missing = {task.key for row in plan.rows for task in row.tasks}
    cuts = [cut(row, "immunize", AT_ONCE, AT_ONCE) for row in plan.rows]
    cuts += [cut(row, "edit", AT_ONCE, AT_ONCE) for row in plan.rows]
    batches = [batch for part in cuts for batch in part]
    ready = time.perf_counter()
    reading, writing = _Clock(), _Clock()
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(Store(Path(folder) / "store"), PaperExecutor(), Progress(quiet=True))
        begun = time.perf_counter()
        with reading.around(Batch, "work"), writing.around(Store, "put_image"):
            driver.run(batches, missing)
        driven = time.perf_counter() - begun
    total = sum(len(row.tasks) for row in plan.rows)
    seconds = (planned - start, ready - planned, driven - reading.seconds - writing.seconds)
    each = [1000 * part / total for part in (*seconds, reading.seconds, writing.seconds)]
    return DrivingCost(total, *each, _peak_mib() - before)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="how many at least (default: 100,000)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args()
    cost = measure_driving(options.tasks)
    if options.json:
        print(json.dumps({**asdict(cost), "own": cost.own}))
        return
    print(tabulate([*asdict(cost).items(), ("own", cost.own)], floatfmt=".3f"))


if __name__ == "__main__":
    main()
