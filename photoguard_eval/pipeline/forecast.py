"""What a run would take, from a few measured steps of everything that its store lacks.

The work is measured by doing a little of it, through the same code, on one full batch of every row: attacks and edits
of one and of three steps, whose difference is what a step costs, and all metrics. Memory does not depend on the number
of steps, so the peak of the measurement is that of the run.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from photoguard_eval.attacks import Attack, EnsembleAttack, GradientAttack
from photoguard_eval.diffusion import peak_memory_mib
from photoguard_eval.errors import AttackError
from photoguard_eval.pipeline.execution import Evaluation
from photoguard_eval.pipeline.plan import EditCell, ImmunizeCell, Method, Plan, PlannedEditor
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.store import Store

FEW, MORE = 1, 3
"""Steps of the two measurements."""

StageName = Literal["load", "immunize", "edit", "score"]


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
    evaluation = Evaluation(_shortened(plan, FEW), Store(folder / "first"), Progress(quiet=True))
    stages = [StageForecast("load", plan.model.name, "", 0, meter.seconds(lambda: evaluation.model))]
    progress.say("Measuring one batch of every row.")
    # What is computed once, and what libraries do at their first call, is behind us after this.
    first = _run(evaluation, meter)
    few, more = (
        _run(replace(evaluation, plan=_shortened(plan, steps), store=Store(folder / f"{steps} steps")), meter)
        for steps in (FEW, MORE)
    )
    if plan.request.compiled:
        loaded = stages[0]
        stages[0] = replace(loaded, seconds=loaded.seconds + max(0.0, _total(first) - _total(few)))
    methods = plan.all_methods
    names: tuple[StageName, ...] = ("immunize", "edit", "score")
    for name in names:
        for method, short, long in zip(methods, few, more, strict=True):
            cells = method.immunize if name == "immunize" else method.edits
            images = len(cells) if name == "score" else _lacking(store, cells)
            if images:
                each = _extrapolated(name, method, plan, short[name], long[name]) / min(
                    plan.request.batch_size, len(cells)
                )
                stages.append(StageForecast(name, method.label, method.editor, images, images * each))
    return stages


def _run(evaluation: Evaluation, meter: _Meter) -> list[dict[StageName, float]]:
    """Run a plan stage by stage, and return for each of its rows what the stages took, in seconds."""
    methods = evaluation.plan.all_methods
    immunized = [meter.seconds(partial(evaluation.immunize, method)) for method in methods]
    if evaluation.failures:
        stopped = evaluation.failures[0]
        raise AttackError(f"{stopped.attack}: {stopped.error}")
    edited = [meter.seconds(partial(evaluation.edit, method)) for method in methods]
    scorer = Scorer(evaluation.plan, evaluation.store)
    scored = [meter.seconds(partial(evaluation.score, scorer, method)) for method in methods]
    return [
        {"immunize": first, "edit": second, "score": third}
        for first, second, third in zip(immunized, edited, scored, strict=True)
    ]


def _total(rows: Sequence[Mapping[StageName, float]]) -> float:
    return sum(seconds for row in rows for seconds in row.values())


def _extrapolated(name: StageName, method: Method, plan: Plan, few: float, more: float) -> float:
    """Return what a batch takes with all of its steps, where two measurements differ in their number."""
    if name == "score":
        return more
    if name == "edit":
        planned = plan.editors[method.editor]
        whole = planned.plugin.instance.executed_steps(planned.settings)
    else:
        assert method.attack is not None
        whole = _steps(method.attack.instance)
    return more + (more - few) / (MORE - FEW) * max(0, whole - MORE)


def _shortened(plan: Plan, steps: int) -> Plan:
    """Return the plan of one batch of every row, with so many steps of attacks and edits."""

    def cut(method: Method) -> Method:
        attack = method.attack and replace(method.attack, instance=_with_steps(method.attack.instance, steps))
        count = plan.request.batch_size
        return replace(method, attack=attack, immunize=method.immunize[:count], edits=method.edits[:count])

    def shortened(planned: PlannedEditor) -> PlannedEditor:
        editor, settings = planned.plugin.instance, planned.settings
        if editor.executed_steps(settings) <= steps:
            return planned
        return replace(planned, settings=settings.changed(num_inference_steps=editor.schedule_length(steps, settings)))

    return replace(
        plan,
        editors={name: shortened(planned) for name, planned in plan.editors.items()},
        originals=tuple(cut(method) for method in plan.originals),
        rerolls=tuple(cut(method) for method in plan.rerolls),
        methods=tuple(cut(method) for method in plan.methods),
    )


def _steps(attack: Attack) -> int:
    """Return the gradient steps of an attack, of its longest member for several; 0 for one that takes none."""
    if isinstance(attack, EnsembleAttack):
        return max(_steps(member.instance) for member in attack.members)
    return attack.steps if isinstance(attack, GradientAttack) else 0


def _with_steps(attack: Attack, steps: int) -> Attack:
    shorter = copy.copy(attack)
    if isinstance(shorter, EnsembleAttack):
        shorter.members = [replace(member, instance=_with_steps(member.instance, steps)) for member in shorter.members]
    elif isinstance(shorter, GradientAttack):
        shorter.steps = min(steps, shorter.steps)
    return shorter


def _lacking(store: Store, cells: Sequence[ImmunizeCell] | Sequence[EditCell]) -> int:
    return sum(store.image(cell.key, cell.facts) is None for cell in cells)
