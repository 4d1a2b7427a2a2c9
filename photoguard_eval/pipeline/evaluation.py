"""An evaluation: what a plan asks for and its store lacks is computed, and the result is put together."""

from __future__ import annotations

import datetime
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property

from photoguard_eval.files import remove_stale_temporaries
from photoguard_eval.images.arrays import require_multiple
from photoguard_eval.images.masks import require_latent_mask
from photoguard_eval.pipeline.artifacts import ImmunizedFacts
from photoguard_eval.pipeline.assemble import Assembly, make_provenance
from photoguard_eval.pipeline.attacks import notes_on
from photoguard_eval.pipeline.batching import Batch, cut
from photoguard_eval.pipeline.driver import STOP_ALONE, Driver, OnFailure
from photoguard_eval.pipeline.executors import Executor, make_executor
from photoguard_eval.pipeline.footprint import footprint
from photoguard_eval.pipeline.memory import BatchSizes, Peaks, batch_sizes, count_peaks
from photoguard_eval.pipeline.plan import Plan
from photoguard_eval.pipeline.processor_memory import available_memory
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.rows import Row
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.worker import Prepared
from photoguard_eval.results.facts import FailedAttack, Provenance
from photoguard_eval.results.rows import RowId
from photoguard_eval.results.schema import EvaluationResult


@dataclass
class Evaluation:
    """The run of a plan.

    Attributes:
        plan: What to run.
        store: Where images and scores are.
        progress: Where to report.
        on_failure: What is done about an attack that fails.
    """

    plan: Plan
    store: Store
    progress: Progress
    on_failure: OnFailure = STOP_ALONE
    _started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    _clock: float = field(default_factory=time.monotonic)
    _prepared: Prepared | None = None

    def run(self) -> EvaluationResult:
        """Compute what is missing and return the result, which is also written to the store.

        An attack that fails or breaks its budget is stopped and listed in the result; the others go on.

        Raises:
            PhotoguardError: If the model cannot be loaded, an image does not fit it, a metric gives NaN, or the
                disk is full; everything that was finished stays in the store.
        """
        remove_stale_temporaries(self.store.path)
        for attack in self.plan.attacks:
            for note in notes_on(attack, self.plan.preset):
                self.progress.say(note)
        with closing(self):
            self.compute(self.plan.rows)
        assembly = Assembly(self.plan, self.store, self.progress)
        result = assembly.result(self._standing(), self.failures, self._provenance())
        for key in dict.fromkeys(self.store.damaged):
            self.progress.say(f"Damaged in the store and computed again: {key[:16]}…")
        self.store.write_result(result)
        return result

    def compute(self, rows: Sequence[Row]) -> None:
        """Compute the images of rows that the store lacks.

        Args:
            rows: Of the plan, or made for it.

        Raises:
            PhotoguardError: See `run`.
        """
        missing = self._missing(rows)
        if not missing:
            return
        if self._prepared is None:
            self._prepared = self._prepare()
        # Rows share images: those of an attack with several purifiers, and purified originals of several editors.
        batches: dict[tuple[str, ...], Batch] = {}
        for batch in self._batches(rows):
            keys = tuple(task.key for task in batch.tasks)
            if missing.intersection(keys):
                batches.setdefault(keys, batch)
        # A whole batch is computed, also where a part of it is there: its images would come out otherwise alone.
        again = {key for keys in batches for key in keys}
        self.driver.run(batches.values(), missing | again)

    @cached_property
    def executor(self) -> Executor:
        """Where the work runs, started when there is some."""
        return make_executor(self.plan.session, self.plan.request)

    @cached_property
    def driver(self) -> Driver:
        """Hands out the work."""
        return Driver(self.store, self.executor, self.progress, self.on_failure)

    def close(self) -> None:
        """End what was started for the work."""
        if "executor" in self.__dict__:
            self.executor.close()

    @property
    def computed(self) -> int:
        """How many images this run computed; 0 when all of them were in the store."""
        return self.driver.computed if "driver" in self.__dict__ else 0

    @property
    def failures(self) -> tuple[FailedAttack, ...]:
        """The attacks that were stopped."""
        return tuple(self.driver.failures.values()) if "driver" in self.__dict__ else ()

    def missing(self) -> int:
        """Return how many images the store lacks."""
        return len(self._missing(self.plan.rows))

    def _missing(self, rows: Iterable[Row]) -> set[str]:
        kinds = {task.key: task.facts for row in rows for task in row.tasks}
        return {key for key, kind in kinds.items() if self.store.image(key, kind) is None}

    def _prepare(self) -> Prepared:
        """Load the model, and check all images and attacks against it before the first is worked on."""
        # Scores come last. What they need must not turn out to be missing after hours of work.
        self.plan.clip.require()
        self.executor.reserve(lambda: footprint(self.plan, lambda: self._peaks))
        prepared = self.executor.prepare(self.plan.matchups, self.plan.sizes)
        for case in self.plan.cases:
            require_multiple(case.image(), prepared.size_multiple, case.id)
        if any(planned.plugin.instance.reads_mask for planned in self.plan.editors.values()):
            for case in {case.image_id: case for case in self.plan.cases}.values():
                require_latent_mask(case.mask(), prepared.downscale_factor, case.image_id)
        return prepared

    def _batches(self, rows: Sequence[Row]) -> Iterator[Batch]:
        sizes, most = self._sizes, self.plan.request.batch_size
        own = {row.id: sizes.get(row.id, BatchSizes(most, most)) for row in rows}
        # Attack by attack, so that the process of one of others is started once for all editors and budgets.
        by_attack: dict[str, list[Row]] = {}
        for row in rows:
            by_attack.setdefault(row.label, []).append(row)
        for row in itertools.chain.from_iterable(by_attack.values()):
            yield from cut(row, "immunize", own[row.id].immunize, own[row.id].immunize)
        for row in rows:
            yield from cut(row, "purify", most, most)
        for row in rows:
            yield from cut(row, "edit", own[row.id].edit, own[row.id].edit)

    @cached_property
    def _sizes(self) -> dict[RowId, BatchSizes]:
        """How many images of a row run at once; as many as fit, counted before the first run."""
        free = self._prepared.free_memory if self._prepared else None
        # The images of an embedded model are small; other models fill a processor's memory as they do a GPU's.
        if free is None and not self.plan.embedded_model:
            free = available_memory()
        return {} if free is None else batch_sizes(self.plan, free, self._peaks)

    @cached_property
    def _peaks(self) -> dict[RowId, Peaks]:
        """What one image of each row needs, counted when it is first asked for."""
        return count_peaks(self.plan)

    def _standing(self) -> list[Row]:
        """Return the rows whose images are all there; the attacks of others have failed."""
        return [
            row
            for row in self.plan.rows
            if row.label not in {failure.attack for failure in self.failures}
            and all(self.store.facts(task.key, ImmunizedFacts) is not None for task in row.immunize)
        ]

    def _provenance(self) -> Provenance:
        earlier = self.store.result(self.plan.id)
        if self.computed == 0 and earlier is not None:
            return earlier.provenance
        threads = self._prepared.threads if self._prepared else _threads()
        started = self._started.isoformat(timespec="seconds")
        return make_provenance(self.plan, started, time.monotonic() - self._clock, threads)


def _threads() -> int:
    """Return how many threads torch uses, without loading it for a run that computed nothing."""
    torch_module = sys.modules.get("torch")
    return torch_module.get_num_threads() if torch_module else os.cpu_count() or 1
