"""The driver: hands out what is ready, takes in what is done, and stores it. Nothing is computed here.

A batch starts as soon as the images that it needs are there: no row waits for another, and edits run beside attacks.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from photoguard_eval.errors import ModelError, UnfinishedError
from photoguard_eval.pipeline.batching import Batch, halves
from photoguard_eval.pipeline.executors.base import Executor
from photoguard_eval.pipeline.progress import Counted, Progress
from photoguard_eval.pipeline.rows import Step
from photoguard_eval.pipeline.store import Store, damaged_meanwhile
from photoguard_eval.pipeline.work import Failed, Finished, Outcome
from photoguard_eval.results.facts import FailedAttack
from photoguard_eval.results.rows import RowId


@dataclass(frozen=True)
class OnFailure:
    """What is done about an attack that fails.

    Attributes:
        fail_fast: Whether the run ends there; else the attack is stopped alone.
        debug: Whether the whole traceback is reported, and not only the attack's own part.
    """

    fail_fast: bool = False
    debug: bool = False


STOP_ALONE = OnFailure()


@dataclass
class Driver:
    """Runs batches on an executor.

    Attributes:
        store: Where images are, and go to.
        executor: Where the batches run.
        progress: Where to report.
        on_failure: What is done about an attack that fails.
        failures: Attacks that were stopped, by their label.
        computed: How many images were computed.
    """

    store: Store
    executor: Executor
    progress: Progress
    on_failure: OnFailure = STOP_ALONE
    failures: dict[str, FailedAttack] = field(default_factory=dict)
    computed: int = 0
    _warned: set[str] = field(default_factory=set)
    _fits: dict[tuple[RowId, Step], int] = field(default_factory=dict)

    def run(self, batches: Iterable[Batch], missing: set[str]) -> None:
        """Run batches, in their order as far as what they need is there.

        Args:
            batches: What to run; those come first whose images others need.
            missing: Keys of the images that the store lacks.

        Raises:
            PhotoguardError: If the run cannot go on; what was finished is in the store.
        """
        queue = _Queue(batches, missing)
        with self.progress.counted(queue.totals()) as counted:
            running: dict[int, Batch] = {}
            while running or queue.ready:
                while queue.ready and len(running) < self.executor.slots:
                    number, batch = queue.take()
                    if len(batch) > self._fits.get((batch.row.id, batch.step), len(batch)):
                        queue.put(*halves(batch))
                    elif batch.row.label not in self.failures:
                        running[number] = batch
                        self.executor.submit(number, batch.work(self._image))
                if running:
                    number, outcome = self.executor.next()
                    self._take(running.pop(number), outcome, queue, counted)

    def _image(self, key: str) -> bytes:
        png = self.store.image(key)
        if png is None:
            # It was immunized before it is edited.
            raise damaged_meanwhile(self.store, key)
        return png

    def _take(self, batch: Batch, outcome: Outcome, queue: _Queue, counted: Counted) -> None:
        if isinstance(outcome, Finished):
            for task, artifact in zip(batch.tasks, outcome.artifacts, strict=True):
                self.store.put_image(task.key, artifact.png, artifact.facts)
            self.computed += len(batch)
            for warning in outcome.warnings:
                self._warn(warning)
            counted.advance(batch.name, len(batch))
            queue.arrived(task.key for task in batch.tasks)
        elif outcome.kind == "attack":
            self._stop(batch, outcome)
        elif outcome.kind == "memory":
            queue.put(*self._smaller(batch, outcome))
        else:
            raise outcome.as_error()

    def _stop(self, batch: Batch, failed: Failed) -> None:
        label = batch.row.label
        if label in self.failures:
            return
        failure = FailedAttack(attack=label, editor=batch.row.editor, error=failed.message)
        self.failures[label] = failure
        report = [
            f"{label} is stopped: {failed.message}",
            failed.frames,
            failed.traceback if self.on_failure.debug else "",
        ]
        self.progress.say("\n".join(filter(None, report)))
        if self.on_failure.fail_fast:
            raise UnfinishedError(
                f"{label} failed, and the run was to end there. What was finished is kept. {failed.message}"
            )

    def _smaller(self, batch: Batch, failed: Failed) -> Sequence[Batch]:
        if batch.halved or len(batch) < 2:
            raise ModelError(
                f"{batch.name}: the GPU's memory does not hold {len(batch)} images at once. Run with a smaller "
                "--batch-size, --dtype float16 or a smaller attack; what was finished is kept."
            ) from failed.as_error()
        parts = halves(batch)
        self._fits[batch.row.id, batch.step] = len(parts[0])
        self._warn(f"{batch.name}: {len(batch)} images at once were too many; going on with {len(parts[0])}.")
        return parts

    def _warn(self, warning: str) -> None:
        if warning not in self._warned:
            self._warned.add(warning)
            self.progress.say(warning)


class _Queue:
    """Batches that wait for images, and those that are ready."""

    def __init__(self, batches: Iterable[Batch], missing: set[str]) -> None:
        self.ready: list[int] = []
        self._batches: list[Batch] = []
        self._lacks: dict[int, int] = {}
        self._waiting: dict[str, list[int]] = defaultdict(list)
        for batch in batches:
            self._put(batch, {key for key in batch.needs if key in missing})

    def totals(self) -> Counter[str]:
        """Return how many images there are of each name of a batch."""
        totals: Counter[str] = Counter()
        for batch in self._batches:
            totals[batch.name] += len(batch)
        return totals

    def put(self, *batches: Batch) -> None:
        """Take batches whose images are there."""
        for batch in batches:
            self._put(batch, set())

    def _put(self, batch: Batch, lacks: set[str]) -> None:
        number = len(self._batches)
        self._batches.append(batch)
        self._lacks[number] = len(lacks)
        for key in lacks:
            self._waiting[key].append(number)
        if not lacks:
            heapq.heappush(self.ready, number)

    def take(self) -> tuple[int, Batch]:
        """Return the first batch that is ready, and its number."""
        number = heapq.heappop(self.ready)
        return number, self._batches[number]

    def arrived(self, keys: Iterable[str]) -> None:
        """Make ready what waited for images."""
        for key in keys:
            for number in self._waiting.pop(key, ()):
                self._lacks[number] -= 1
                if not self._lacks[number]:
                    heapq.heappush(self.ready, number)
