"""Runs a plan: immunize, edit, score, and put the result together.

Only what the store lacks is computed. Images run in batches whose composition depends on the plan alone, so that an
interrupted run that goes on later gives the same bits as one that was not.
"""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from photoguard_eval.attacks import Attack, AttackBatch
from photoguard_eval.attacks.harness import immunize
from photoguard_eval.diffusion import CostMeter
from photoguard_eval.errors import AttackError, InterferenceError, ModelError, UnfinishedError, message_of
from photoguard_eval.images.arrays import decode_png, encode_png, require_multiple, to_8bit
from photoguard_eval.images.masks import require_latent_mask
from photoguard_eval.pipeline.artifacts import ImmunizedFacts
from photoguard_eval.pipeline.inputs import edit_settings, library_versions
from photoguard_eval.pipeline.memory import (
    BatchSizes,
    batch_sizes,
    free_memory,
    is_out_of_memory,
    release_memory,
    row_of,
)
from photoguard_eval.pipeline.plan import EditCell, ImmunizeCell, Method, Plan, PlannedEditor
from photoguard_eval.pipeline.processor_memory import available_memory
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.store import Store, damaged_meanwhile
from photoguard_eval.plugins.file_reads import files_read
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.plugins.tracebacks import whole
from photoguard_eval.randomness import CaseGenerators
from photoguard_eval.results.facts import (
    AttackInfo,
    CaseInfo,
    DatasetInfo,
    FailedAttack,
    ModelInfo,
    Provenance,
    ThreatModelInfo,
)
from photoguard_eval.results.rows import OWN_SEEDS, REROLL, CaseResult, Cost, MethodResult, Summary
from photoguard_eval.results.schema import EvaluationResult
from photoguard_eval.results.summaries import summarize
from photoguard_eval.version import __version__

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion import LatentDiffusion

Cell = TypeVar("Cell", bound=ImmunizeCell | EditCell)

LIBRARIES = ("torch", "diffusers", "transformers", "piq", "torchmetrics", "open_clip_torch", "numpy", "scipy", "pillow")


@dataclass(frozen=True)
class Share:
    """What one of several processes computes: every `count`-th batch, from the `index`-th on."""

    index: int = 0
    count: int = 1


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


@dataclass(frozen=True)
class StoppedAttack:
    """An attack that failed.

    Attributes:
        failure: What the result says of it.
        report: What the console says, which is more.
    """

    failure: FailedAttack
    report: str


@dataclass
class Evaluation:
    """The run of a plan.

    Attributes:
        plan: What to run.
        store: Where artifacts are.
        progress: Where to report.
        share: What of the work is this process's.
        on_failure: What is done about an attack that fails.
        computed: How many cells this run computed; 0 when all of them were in the store.
    """

    plan: Plan
    store: Store
    progress: Progress
    share: Share = Share()
    on_failure: OnFailure = STOP_ALONE
    computed: int = 0
    _model: LatentDiffusion | None = None
    _stopped: dict[str, StoppedAttack] = field(default_factory=dict)
    _warnings: list[str] = field(default_factory=list)
    _sizes: dict[tuple[str, str], BatchSizes] | None = None
    _started: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    _clock: float = field(default_factory=time.monotonic)

    def run(self) -> EvaluationResult:
        """Compute what is missing and return the result, which is also written to the store.

        An attack that fails or breaks its budget is stopped and listed in the result; the others go on.

        Raises:
            PhotoguardError: If the model cannot be loaded, an image does not fit it, a metric gives NaN, or the
                disk is full; everything that was finished stays in the store.
        """
        self.immunize_all()
        self.edit_all()
        result = self._assemble()
        for key in dict.fromkeys(self.store.damaged):
            self.progress.say(f"Damaged in the store and computed again: {key[:16]}…")
        self.store.write_result(result)
        return result

    def immunize_all(self) -> None:
        """Immunize what the store lacks."""
        for method in self.plan.methods:
            self.immunize(method)

    def edit_all(self) -> None:
        """Compute the edits that the store lacks, of all methods whose attack did not fail."""
        for method in (*self.plan.originals, *self.plan.rerolls, *self._standing_methods()):
            self.edit(method)

    @property
    def failures(self) -> tuple[FailedAttack, ...]:
        """The attacks that were stopped."""
        return tuple(stopped.failure for stopped in self._stopped.values())

    @property
    def stopped(self) -> tuple[StoppedAttack, ...]:
        """The attacks that were stopped, and what is reported of them."""
        return tuple(self._stopped.values())

    def stop(self, stopped: StoppedAttack, report: bool = True) -> None:
        """Leave an attack out from here on.

        Args:
            stopped: The attack, which failed here or in another process.
            report: Whether to report it.

        Raises:
            UnfinishedError: If the run is to end at the first attack that fails.
        """
        failure = stopped.failure
        if failure.attack not in self._stopped:
            self._stopped[failure.attack] = stopped
            if report:
                self.progress.say(stopped.report)
            if self.on_failure.fail_fast:
                raise UnfinishedError(
                    f"{failure.attack} failed, and the run was to end there. What was finished is kept. {failure.error}"
                )

    def missing(self) -> int:
        """Return how many images the store lacks."""
        kinds = {cell.key: cell.facts for method in self.plan.all_methods for cell in method.cells}
        return sum(self.store.image(key, kind) is None for key, kind in kinds.items())

    @cached_property
    def _rows(self) -> list[tuple[str, str]]:
        return [row_of(method) for method in self.plan.all_methods]

    def _standing_methods(self) -> list[Method]:
        return [
            method
            for method in self.plan.methods
            if method.attack
            and method.attack.label not in self._stopped
            # The failure may be another process's.
            and all(self.store.facts(cell.key, ImmunizedFacts) is not None for cell in method.immunize)
        ]

    @property
    def model(self) -> LatentDiffusion:
        """The model, loaded when first needed."""
        if self._model is None:
            if self.share.count == 1:
                # Scores come last. What they need must not turn out to be missing after hours of work.
                self.plan.clip.require()
            self._model = self.plan.request.load_model()
            for case in self.plan.cases:
                require_multiple(case.image(), self._model.size_multiple, case.id)
            if any(planned.plugin.instance.reads_mask for planned in self.plan.editors.values()):
                for case in {case.image_id: case for case in self.plan.cases}.values():
                    require_latent_mask(case.mask(), self._model.downscale_factor, case.image_id)
            sizes = {case.size() for case in self.plan.cases}
            for method in self.plan.methods:
                editor = self.plan.editors[method.editor].plugin.instance
                if method.attack is not None:
                    method.attack.instance.require_support(self._model, editor, sizes)
        return self._model

    def immunize(self, method: Method) -> None:
        """Immunize the images of a method that the store lacks."""
        attack = method.attack
        if attack is None or attack.label in self._stopped:
            return
        name = f"{attack.label}: immunize for {method.editor}"
        try:
            self._in_batches(
                name,
                method,
                method.immunize,
                lambda: self._sizes_of(method).immunize,
                lambda batch: self._immunize_batch(attack, method, batch),
            )
        except AttackError as error:
            if isinstance(error, InterferenceError):
                # Whatever the attack made of the model, the next row gets one as it was loaded.
                self._model = None
                release_memory()
            self._stop(attack, method, error)

    def _stop(self, attack: Plugin[Attack], method: Method, error: AttackError) -> None:
        message = message_of(error)
        failure = FailedAttack(attack=attack.label, editor=method.editor, error=message)
        report = [f"{attack.label} is stopped: {message}", error.frames]
        if self.on_failure.debug:
            report.append(whole(error))
        self.stop(StoppedAttack(failure, "\n".join(filter(None, report))))

    def _immunize_batch(self, attack: Plugin[Attack], method: Method, cells: Sequence[ImmunizeCell]) -> None:
        at_once = self._sizes_of(method).immunize
        batch = attack_batch(self.model, cells, self.plan.editors[method.editor], at_once)
        meter = CostMeter(self.model)
        generators = CaseGenerators.from_seeds([cell.seed for cell in cells])
        with files_read() as read:
            finished = immunize(attack.instance, self.model, batch, generators, meter, attack.declared)
        self._warn_of(attack, read)
        cost = Cost(**meter.cost(len(cells)), batch_size=len(cells))
        for cell, immunized in zip(cells, finished, strict=True):
            change = immunized.perturbation
            facts = ImmunizedFacts(linf_levels=change.linf_levels, rms_levels=change.rms_levels, cost=cost)
            self.store.put_image(cell.key, immunized.png, facts.model_dump(mode="json"))
            self.computed += 1

    def _warn_of(self, attack: Plugin[Attack], read: set[str]) -> None:
        for warning in attack.undeclared(read):
            if warning not in self._warnings:
                self._warnings.append(warning)
                self.progress.say(warning)

    def edit(self, method: Method) -> None:
        """Compute the edits of a method that the store lacks."""
        self._in_batches(
            f"{method.label}: edit by {method.editor}",
            method,
            method.edits,
            lambda: self._sizes_of(method).edit,
            lambda batch: self._edit_batch(method, batch),
        )

    def _in_batches(
        self,
        name: str,
        method: Method,
        cells: Sequence[Cell],
        size: Callable[[], int],
        run: Callable[[Sequence[Cell]], None],
    ) -> None:
        """Run this process's share of what the store lacks, once in smaller batches where a GPU's memory runs out."""
        missing = {cell.key for cell in cells if self.store.image(cell.key, cell.facts) is None}
        batches = _batches(cells, size()) if missing else []
        # By the plan alone, so that processes that see the others' results at different times leave nothing out.
        first = (self.share.index - self._rows.index(row_of(method))) % self.share.count
        todo: list[Sequence[Cell]] = [
            batch for batch in batches[first :: self.share.count] if any(cell.key in missing for cell in batch)
        ]
        has_shrunk = False
        with self.progress.stage(name, sum(len(batch) for batch in todo)) as stage:
            while todo:
                batch = todo.pop(0)
                try:
                    run(batch)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    smaller = len(batch) // 2
                    if has_shrunk or not smaller:
                        raise ModelError(
                            f"{name}: the GPU's memory does not hold {len(batch)} images at once. Run with a smaller "
                            "--batch-size, --dtype float16 or a smaller attack; what was finished is kept."
                        ) from error
                    has_shrunk = True
                    self.progress.say(f"{name}: {len(batch)} images at once were too many; going on with {smaller}.")
                    todo = [part for whole in (batch, *todo) for part in _split(whole, smaller)]
                    release_memory()
                else:
                    stage.advance(len(batch))

    def _sizes_of(self, method: Method) -> BatchSizes:
        """Return how many images of a method run at once; as many as fit, counted before the first run."""
        if self._sizes is None:
            free = free_memory(str(self.model.device))
            # The images of an embedded model are small; other models fill a processor's memory as they do a GPU's.
            if free is None and not self.plan.embedded_model:
                free = available_memory()
            self._sizes = {} if free is None else batch_sizes(self.plan, free)
        most = self.plan.request.batch_size
        return self._sizes.get(row_of(method), BatchSizes(most, most))

    def _edit_batch(self, method: Method, cells: Sequence[EditCell]) -> None:
        import torch

        planned = self.plan.editors[method.editor]
        originals = torch.cat([cell.case.image() for cell in cells]).to(self.model.device)
        images = originals
        if method.attack is not None:
            images = torch.cat([self._immunized(cell) for cell in cells]).to(self.model.device)
        edits = planned.plugin.instance.edit(
            self.model,
            images,
            torch.cat([cell.case.mask() for cell in cells]).to(self.model.device),
            tuple(cell.case.prompt for cell in cells),
            tuple(cell.seed for cell in cells),
            edit_settings(planned.settings, of_original=method.attack is None),
            originals=originals,
        )
        planned.plugin.instance.require_finite(edits, [cell.case.id for cell in cells], self.plan.request.dtype)
        for cell, edit in zip(cells, to_8bit(edits).cpu(), strict=True):
            self.store.put_image(cell.key, encode_png(edit), {})
            self.computed += 1

    def _immunized(self, cell: EditCell) -> torch.Tensor:
        png = self.store.image(cell.immunized)
        if png is None:
            # It was immunized before it is edited.
            raise damaged_meanwhile(self.store, cell.immunized)
        return decode_png(png)

    def _provenance(self) -> Provenance:
        earlier = self.store.result(self.plan.id)
        if self.computed == 0 and earlier is not None:
            return earlier.provenance
        return Provenance(
            package_version=__version__,
            libraries=library_versions(LIBRARIES),
            python=platform.python_version(),
            platform=platform.platform(),
            threads=_threads(),
            seed=self.plan.request.seed,
            batch_size=self.plan.request.batch_size,
            started=self._started.isoformat(timespec="seconds"),
            seconds=time.monotonic() - self._clock,
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        )

    def _assemble(self) -> EvaluationResult:
        plan = self.plan
        scorer = Scorer(plan, self.store)
        methods = (*plan.originals, *plan.rerolls, *self._standing_methods())
        rows = []
        with self.progress.stage("score", len(methods), unit="row") as stage:
            for method in methods:
                rows.append(self.score(scorer, method))
                stage.advance(1)
        return EvaluationResult(
            id=plan.id,
            preset=plan.preset.name,
            model=_model_info(plan),
            dataset=DatasetInfo(
                name=plan.dataset.name,
                sha256=plan.dataset.sha256,
                n=len(plan.cases),
                seeds="; ".join(f"{name}: {editor.seeds.origin}" for name, editor in plan.editors.items()),
            ),
            editors={name: editor.settings.model_dump(mode="json") for name, editor in plan.editors.items()},
            changed_settings=plan.changed_settings,
            metrics=scorer.metric_infos(),
            cases=_case_infos(plan),
            rows=tuple(rows),
            failures=self.failures,
            provenance=self._provenance(),
        )

    def score(self, scorer: Scorer, method: Method) -> MethodResult:
        """Score the edits of a method."""
        by_case: list[dict[str, float]] = [{} for _ in method.edits]
        metrics: dict[str, Summary] = {}
        for score in scorer.scores:
            values = scorer.case_scores(method, score)
            if values is not None:
                metrics[score.name] = summarize(values)
                for row, value in zip(by_case, values, strict=True):
                    row[score.name] = value
            set_value = scorer.set_score(method, score)
            if set_value is not None:
                metrics[score.name] = Summary(mean=set_value)
        facts = {cell.key: self._facts(cell) for cell in method.immunize}
        cases = tuple(
            _case_result(cell, facts.get(cell.immunized), scores)
            for cell, scores in zip(method.edits, by_case, strict=True)
        )
        return MethodResult(
            attack=_attack_info(method.attack) if method.attack else None,
            editor=method.editor,
            model=self.plan.model.name,
            seeds=REROLL if method.rerolled else OWN_SEEDS,
            n=len(cases),
            metrics=metrics,
            cases=cases,
            cost=_mean_cost([fact.cost for fact in facts.values()]),
        )

    def _facts(self, cell: ImmunizeCell) -> ImmunizedFacts:
        facts = self.store.facts(cell.key, ImmunizedFacts)
        if facts is None:
            raise damaged_meanwhile(self.store, cell.key)
        return facts


def _batches(cells: Sequence[Cell], size: int) -> list[Sequence[Cell]]:
    """Split cells into batches of images of one size."""
    groups: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.case.size(), []).append(cell)
    return [batch for group in groups.values() for batch in _split(group, size)]


def _split(cells: Sequence[Cell], size: int) -> list[Sequence[Cell]]:
    return [cells[start : start + size] for start in range(0, len(cells), size)]


def attack_batch(
    model: LatentDiffusion, cells: Sequence[ImmunizeCell], editor: PlannedEditor, at_once: int
) -> AttackBatch:
    """Read the images of cells and how they are edited; what an attack does not see, the harness withholds.

    Args:
        model: Where the images go.
        cells: What is immunized.
        editor: Against what.
        at_once: See `AttackBatch`.
    """
    import torch

    return AttackBatch(
        images=torch.cat([cell.case.image() for cell in cells]).to(model.device),
        masks=torch.cat([cell.case.mask() for cell in cells]).to(model.device),
        prompts=tuple(cell.case.prompt for cell in cells),
        ids=tuple(cell.id for cell in cells),
        editor=editor.plugin.instance,
        settings=editor.settings,
        at_once=at_once,
    )


def _attack_info(attack: Plugin[Attack]) -> AttackInfo:
    instance, threat_model = attack.instance, attack.declared.within()
    return AttackInfo(
        name=attack.name,
        label=attack.row_label,
        title=instance.title or attack.row_label,
        paper=instance.paper,
        arguments={**attack.arguments, **attack.inputs},
        source=attack.source,
        fingerprint=attack.fingerprint,
        threat_model=ThreatModelInfo(
            norm=threat_model.norm,
            epsilon=threat_model.epsilon,
            sees_model=threat_model.sees_model,
            sees_mask=threat_model.sees_mask,
            sees_prompt=threat_model.sees_prompt,
        ),
    )


def _case_result(cell: EditCell, facts: ImmunizedFacts | None, scores: dict[str, float]) -> CaseResult:
    return CaseResult(
        case_id=cell.case.id,
        immunized=cell.immunized,
        edit=cell.key,
        linf_levels=facts.linf_levels if facts else 0.0,
        rms_levels=facts.rms_levels if facts else 0.0,
        scores=scores,
    )


def _case_infos(plan: Plan) -> tuple[CaseInfo, ...]:
    seeds = {method.editor: {cell.case.id: cell.seed for cell in method.edits} for method in plan.originals}
    rerolled = {method.editor: {cell.case.id: cell.seed for cell in method.edits} for method in plan.rerolls}
    return tuple(
        CaseInfo(
            id=case.id,
            image_id=case.image_id,
            prompt=case.prompt,
            seed={name: by_case[case.id] for name, by_case in seeds.items()},
            reroll_seed={name: by_case[case.id] for name, by_case in rerolled.items()},
            image=str(case.image_path.relative_to(plan.dataset.path)),
            mask=str(case.mask_path.relative_to(plan.dataset.path)),
        )
        for case in plan.cases
    )


def _model_info(plan: Plan) -> ModelInfo:
    return ModelInfo(
        name=plan.model.name,
        revision=plan.model.revision or "",
        weights_sha256=plan.model.weights_sha256,
        kind=plan.model.kind,
        dtype=plan.request.dtype,
        device=plan.request.device,
        vae_tiling=plan.request.vae_tiling,
        cpu_offload=plan.request.cpu_offload,
        compiled=plan.request.compiled,
    )


def _mean_cost(costs: Sequence[Cost]) -> Cost | None:
    if not costs:
        return None
    count = len(costs)
    return Cost(
        seconds=sum(cost.seconds for cost in costs) / count,
        gradient_evaluations=sum(cost.gradient_evaluations for cost in costs) / count,
        unet_calls=sum(cost.unet_calls for cost in costs) / count,
        encoder_calls=sum(cost.encoder_calls for cost in costs) / count,
        peak_memory_mib=max(cost.peak_memory_mib for cost in costs),
        batch_size=max(cost.batch_size for cost in costs),
    )


def _threads() -> int:
    """Return how many threads torch uses, without loading it for a run that computed nothing."""
    torch_module = sys.modules.get("torch")
    return torch_module.get_num_threads() if torch_module else os.cpu_count() or 1
