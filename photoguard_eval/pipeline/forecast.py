"""What a run would take, from a few measured steps of everything that its store lacks.

The work is measured by doing a little of it, through the same code, on one full batch of every row: attacks and edits
of one and of three steps, whose difference is what a step costs, and all metrics. Memory does not depend on the number
of steps, so the peak of the measurement is that of the run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from photoguard_eval.attacks import Attack, EnsembleAttack
from photoguard_eval.diffusion import EditSettings, peak_memory_mib
from photoguard_eval.errors import ModelError
from photoguard_eval.pipeline.assemble import Assembly
from photoguard_eval.pipeline.batching import Batch, cut
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.plan import Plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.rows import ImmunizeTask, Row, Step, Task, purified
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.work import Failed, ImmunizeWork, Outcome
from photoguard_eval.pipeline.worker import Worker

FEW, MORE = 1, 3
"""Steps of the two measurements."""

StageName = Literal["load", "immunize", "purify", "edit", "score"]


@dataclass(frozen=True)
class StageForecast:
    """A part of the run.

    Attributes:
        stage: What is done.
        row: Label of the attack, "original", "re-roll", or the model that is loaded.
        editor: Name of the editor; "" for loading.
        images: How many images the store lacks, or are scored.
        seconds: What they will take.
    """

    stage: StageName
    row: str
    editor: str
    images: int
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What a run would take.

    Attributes:
        stages: In the order they run.
        peak_memory_mib: Most memory of the process, or of the GPU.
        measured_seconds: What the measurement took itself.
    """

    stages: tuple[StageForecast, ...]
    peak_memory_mib: float
    measured_seconds: float

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(stage.seconds for stage in self.stages)


def forecast(plan: Plan, store: Store, progress: Progress) -> Forecast:
    """Measure a little of a plan's work and say what all of it would take in one process.

    Args:
        plan: What would run.
        store: What is there already costs nothing; nothing is computed into it.
        progress: Where to report.

    Raises:
        PhotoguardError: As the run itself would: if the model cannot be loaded, or an attack does not support it.
    """
    started = time.monotonic()
    stages: list[StageForecast] = []
    meter = _Meter(plan.request.device)
    if Evaluation(plan, store, progress).missing():
        with tempfile.TemporaryDirectory() as folder:
            stages = _measure(plan, store, Path(folder), progress, meter)
    return Forecast(tuple(stages), meter.peak_mib, time.monotonic() - started)


class _Meter:
    """Times calls, and keeps the most memory that was in use: immunizing sets the process's own record back."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.peak_mib = 0.0

    def seconds(self, run: Callable[[], object]) -> float:
        started = time.perf_counter()
        run()
        taken = time.perf_counter() - started
        self.peak_mib = max(self.peak_mib, peak_memory_mib(self._device))
        return taken


def _measure(plan: Plan, store: Store, folder: Path, progress: Progress, meter: _Meter) -> list[StageForecast]:
    worker = Worker(plan.session)
    shortest = _shortened(plan, FEW)
    with closing(worker):
        seconds = meter.seconds(lambda: _prepared(plan, worker))
        stages = [StageForecast("load", plan.model.name, "", 0, seconds)]
        progress.say("Measuring one batch of every row.")
        # What is computed once, and what libraries do at their first call, is behind us after this.
        first = _Measurement(shortest, FEW, Store(folder / "first"), worker, meter).run()
        few, more = (
            _Measurement(_shortened(plan, steps), steps, Store(folder / f"{steps} steps"), worker, meter).run()
            for steps in (FEW, MORE)
        )
    if plan.request.compiled:
        loaded = stages[0]
        stages[0] = replace(loaded, seconds=loaded.seconds + max(0.0, _total(first) - _total(few)))
    counted: set[str] = set()
    names: tuple[Literal["immunize", "purify", "edit", "score"], ...] = ("immunize", "purify", "edit", "score")
    for name in names:
        for row, short, long in zip(plan.rows, few, more, strict=True):
            tasks = row.edits if name == "score" else row.tasks_of(name)
            # Rows share images; they are computed once.
            images = len(tasks) if name == "score" else _lacking(store, tasks, counted)
            if images:
                each = _extrapolated(name, row, plan, short[name], long[name]) / min(
                    plan.request.batch_size, len(tasks)
                )
                stages.append(StageForecast(name, row.label, row.editor, images, images * each))
    return stages


def _prepared(plan: Plan, worker: Worker) -> None:
    worker.prepare(plan.matchups, plan.sizes)


@dataclass(frozen=True)
class _Measurement:
    """One batch of every row of a shortened plan, stage by stage."""

    plan: Plan
    steps: int
    store: Store
    worker: Worker
    meter: _Meter

    def run(self) -> list[dict[StageName, float]]:
        """Return for each of the rows what the stages took, in seconds."""
        rows, assembly = self.plan.rows, Assembly(self.plan, self.store, Progress(quiet=True))
        steps: tuple[Step, ...] = ("immunize", "purify", "edit")
        taken = {step: [self.meter.seconds(partial(self._compute, row, step)) for row in rows] for step in steps}
        scorer = Scorer(self.plan, self.store)
        scored = [self.meter.seconds(partial(assembly.score, scorer, row)) for row in rows]
        return [{**{step: taken[step][place] for step in steps}, "score": scored[place]} for place in range(len(rows))]

    def _compute(self, row: Row, step: Step) -> None:
        tasks = row.tasks_of(step)
        if not _lacking(self.store, tasks, set()):
            return
        for batch in cut(row, step, len(tasks), self.plan.request.batch_size):
            work = batch.work(lambda key: self.store.image(key) or b"")
            if isinstance(work, ImmunizeWork):
                work = replace(work, steps=self.steps)
            self._keep(batch, self.worker.perform(work))

    def _keep(self, batch: Batch, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            raise outcome.as_error(ModelError, f"{batch.row.label}: " if outcome.kind == "attack" else "")
        for task, artifact in zip(batch.tasks, outcome.artifacts, strict=True):
            self.store.put_image(task.key, artifact.png, artifact.facts)


def _total(rows: Sequence[Mapping[StageName, float]]) -> float:
    return sum(seconds for row in rows for seconds in row.values())


def _extrapolated(name: StageName, row: Row, plan: Plan, few: float, more: float) -> float:
    """Return what a batch takes with all of its steps, where two measurements differ in their number."""
    if name in ("score", "purify"):
        return more
    if name == "edit":
        planned = plan.editors[row.editor]
        whole = planned.plugin.instance.executed_steps(planned.settings)
    else:
        assert row.attack is not None
        whole = _steps(row.attack.instance)
    return more + (more - few) / (MORE - FEW) * max(0, whole - MORE)


def _shortened(plan: Plan, steps: int) -> Plan:
    """Return the plan of one batch of every row, with so many steps of the edits."""
    count = plan.request.batch_size

    def settings_of(name: str) -> EditSettings:
        planned = plan.editors[name]
        editor, settings = planned.plugin.instance, planned.settings
        if editor.executed_steps(settings) <= steps:
            return settings
        return settings.changed(num_inference_steps=editor.schedule_length(steps, settings))

    def cut_short(row: Row) -> Row:
        settings = settings_of(row.editor)
        immunized: dict[str, ImmunizeTask] = {}
        for task in row.immunize:
            editing = replace(task.inputs.editing, settings=settings)
            immunized[task.key] = replace(task, inputs=replace(task.inputs, editing=editing))
        first = set(list(immunized)[:count])
        edits = [
            replace(
                task,
                inputs=replace(
                    task.inputs,
                    editing=replace(task.inputs.editing, settings=settings),
                    immunized=immunized[task.immunized].key if task.immunized else "",
                    purified="",
                ),
            )
            for task in row.edits
            if not task.immunized or task.immunized in first
        ]
        short = replace(row, immunize=tuple(immunized.values())[:count], edits=tuple(edits)[:count])
        return short if row.purifier is None else purified(short, row.purifier, plan.request.seed)

    return replace(
        plan,
        editors={name: replace(planned, settings=settings_of(name)) for name, planned in plan.editors.items()},
        originals=tuple(cut_short(row) for row in plan.originals),
        rerolls=tuple(cut_short(row) for row in plan.rerolls),
        attack_rows=tuple(cut_short(row) for row in plan.attack_rows),
    )


def _steps(attack: Attack) -> int:
    """Return the gradient steps of an attack, of its longest member for several; 0 for one that takes none."""
    if isinstance(attack, EnsembleAttack):
        return max(_steps(member.instance) for member in attack.members)
    steps = getattr(attack, "steps", 0)
    return steps if isinstance(steps, int) else 0


def _lacking(store: Store, tasks: Sequence[Task], counted: set[str]) -> int:
    """Count the images that a store lacks, those that were counted before left out."""
    lacking = {task.key for task in tasks if store.image(task.key, task.facts) is None} - counted
    counted |= lacking
    return len(lacking)
