"""Puts a result together: scores of every row, and what there is to know of the run."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photoguard_eval.attacks import Attack, ThreatModel
from photoguard_eval.pipeline.artifacts import ImmunizedFacts
from photoguard_eval.pipeline.plan import Plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.rows import EditTask, ImmunizeTask, Row
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.steps.keys import library_versions
from photoguard_eval.pipeline.store import Store, damaged_meanwhile
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.results.facts import (
    AttackInfo,
    CaseInfo,
    DatasetInfo,
    FailedAttack,
    ModelInfo,
    Provenance,
    ThreatModelInfo,
)
from photoguard_eval.results.rows import OWN_SEEDS, REROLL, CaseResult, Cost, ResultRow, Summary
from photoguard_eval.results.schema import EvaluationResult
from photoguard_eval.results.summaries import summarize
from photoguard_eval.version import __version__

LIBRARIES = ("torch", "diffusers", "transformers", "piq", "torchmetrics", "open_clip_torch", "numpy", "scipy", "pillow")


@dataclass(frozen=True)
class Assembly:
    """What a result is made of.

    Attributes:
        plan: What was run.
        store: Where its images are.
        progress: Where to report.
    """

    plan: Plan
    store: Store
    progress: Progress

    def result(self, rows: Sequence[Row], failures: Sequence[FailedAttack], provenance: Provenance) -> EvaluationResult:
        """Score rows and put the result together.

        Args:
            rows: Those whose images are all there.
            failures: Attacks that were stopped.
            provenance: Under what the evaluation ran.

        Raises:
            PhotoguardError: If a metric gives NaN, or an image was damaged meanwhile.
        """
        plan, scorer = self.plan, Scorer(self.plan, self.store)
        scored = []
        with self.progress.stage("score", len(rows), unit="row") as stage:
            for row in rows:
                scored.append(self.score(scorer, row))
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
            rows=tuple(scored),
            failures=tuple(failures),
            provenance=provenance,
        )

    def score(self, scorer: Scorer, row: Row) -> ResultRow:
        """Score the edits of a row.

        Args:
            scorer: Computes scores, or reads them from the store.
            row: The row.
        """
        by_case: list[dict[str, float]] = [{} for _ in row.edits]
        metrics: dict[str, Summary] = {}
        for score in scorer.scores:
            values = scorer.case_scores(row, score)
            if values is not None:
                metrics[score.name] = summarize(values)
                for scores, value in zip(by_case, values, strict=True):
                    scores[score.name] = value
            set_value = scorer.set_score(row, score)
            if set_value is not None:
                metrics[score.name] = Summary(mean=set_value)
        facts = {task.key: self._facts(task) for task in row.immunize}
        cases = tuple(
            _case_result(task, facts.get(task.immunized), scores)
            for task, scores in zip(row.edits, by_case, strict=True)
        )
        return ResultRow(
            attack=_attack_info(row.attack, row.immunize[0].inputs.threat_model) if row.attack else None,
            purification=row.id.purification,
            editor=row.editor,
            model=self.plan.model.name,
            seeds=REROLL if row.rerolled else OWN_SEEDS,
            n=len(cases),
            metrics=metrics,
            cases=cases,
            cost=_mean_cost([fact.cost for fact in facts.values()]),
        )

    def _facts(self, task: ImmunizeTask) -> ImmunizedFacts:
        facts = self.store.facts(task.key, ImmunizedFacts)
        if facts is None:
            raise damaged_meanwhile(self.store, task.key)
        return facts


def make_provenance(plan: Plan, started: str, seconds: float, threads: int) -> Provenance:
    """Say under what an evaluation ran.

    Args:
        plan: What was run.
        started: When, in ISO 8601.
        seconds: How long.
        threads: Threads of torch in each process.
    """
    return Provenance(
        package_version=__version__,
        libraries=library_versions(LIBRARIES),
        python=platform.python_version(),
        platform=platform.platform(),
        threads=threads,
        seed=plan.request.seed,
        batch_size=plan.request.batch_size,
        started=started,
        seconds=seconds,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        trusted=plan.request.trusted,
        attack_timeout=plan.request.attack_timeout,
    )


def _attack_info(attack: Plugin[Attack], threat_model: ThreatModel) -> AttackInfo:
    instance = attack.instance
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


def _case_result(task: EditTask, facts: ImmunizedFacts | None, scores: dict[str, float]) -> CaseResult:
    return CaseResult(
        case_id=task.case.id,
        immunized=task.immunized,
        edit=task.key,
        linf_levels=facts.linf_levels if facts else 0.0,
        rms_levels=facts.rms_levels if facts else 0.0,
        scores=scores,
        purified=task.inputs.purified,
    )


def _case_infos(plan: Plan) -> tuple[CaseInfo, ...]:
    seeds = {row.editor: {task.case.id: task.seed for task in row.edits} for row in plan.originals}
    rerolled = {row.editor: {task.case.id: task.seed for task in row.edits} for row in plan.rerolls}
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
