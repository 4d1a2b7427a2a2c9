"""The plan of an evaluation: all rows, and the key of each image, before anything heavy is loaded.

A key is the hash of everything that its artifact depends on. So a plan can be compared with a store without loading a
model, what is finished is never computed again, and what has changed is never mistaken for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from photoguard_eval import resources
from photoguard_eval.attacks import Attack, Ball
from photoguard_eval.data.cases import Dataset, EditCase, load_dataset
from photoguard_eval.diffusion import EDITORS, Editor, EditSettings, ModelIdentity, editors_for, identify_model
from photoguard_eval.diffusion.native_size import is_far_from_native
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.files import sha256_of_json
from photoguard_eval.metrics import FeatureExtractor, TextImageModel, select_clip, select_extractor
from photoguard_eval.pipeline.attacks import PlannedAttack, plan_attacks
from photoguard_eval.pipeline.executors import EXECUTORS
from photoguard_eval.pipeline.presets import Preset, find_preset
from photoguard_eval.pipeline.purifiers import PlannedPurifier, plan_purifiers
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.rows import EditTask, ImmunizeTask, Row, purified
from photoguard_eval.pipeline.seeds import EditSeeds, choose_seeds, reroll_seed
from photoguard_eval.pipeline.session import Session
from photoguard_eval.pipeline.steps.edit import EditInputs
from photoguard_eval.pipeline.steps.immunize import ImmunizeInputs
from photoguard_eval.pipeline.steps.keys import Editing, PictureFile
from photoguard_eval.plugins.registry import Plugin


@dataclass(frozen=True)
class PlannedEditor:
    """An editor and its settings in this evaluation."""

    plugin: Plugin[Editor]
    settings: EditSettings
    seeds: EditSeeds


@dataclass(frozen=True)
class Plan:
    """All rows of an evaluation.

    Attributes:
        request: What was asked for.
        preset: The preset.
        model: The model's identity.
        dataset: The dataset.
        cases: The cases that are used of it.
        editors: The editors by name.
        attacks: The attacks in the order of the report.
        session: What whoever computes must know.
        originals: Edits of the original images, one row per editor and purifier.
        rerolls: Edits of the original images with another seed, one row per editor.
        attack_rows: One row per attack, editor and purifier.
        extractor: Computes the features of the distribution metrics.
        clip: Embeds images and prompts for the prompt metric.
        id: Hash over all keys.
    """

    request: EvaluationRequest
    preset: Preset
    model: ModelIdentity
    dataset: Dataset
    cases: tuple[EditCase, ...]
    editors: Mapping[str, PlannedEditor]
    attacks: tuple[Plugin[Attack], ...]
    session: Session
    originals: tuple[Row, ...]
    rerolls: tuple[Row, ...]
    attack_rows: tuple[Row, ...]
    extractor: FeatureExtractor
    clip: TextImageModel
    id: str

    @property
    def embedded_model(self) -> bool:
        """Whether the model is one that the package carries."""
        return _is_embedded(self.model)

    @property
    def changed_settings(self) -> tuple[str, ...]:
        """Names of the settings that are not the preset's for the model, in the order they were asked for."""
        return tuple(
            name
            for name in self.request.settings
            if any(
                getattr(planned.settings, name) != getattr(self.preset.settings(editor, self.model, {}), name)
                for editor, planned in self.editors.items()
            )
        )

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, those of unprotected images first."""
        return (*self.originals, *self.rerolls, *self.attack_rows)

    @property
    def matchups(self) -> list[tuple[str, str]]:
        """Labels of attacks, each with an editor that it works against."""
        return list(dict.fromkeys((row.label, row.editor) for row in self.attack_rows))

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """Heights and widths of the images."""
        return {case.size() for case in self.cases}

    def original(self, editor: str) -> Row:
        """Return the edits of the original images, not purified, under an editor."""
        return next(row for row in self.originals if row.editor == editor and row.purifier is None)

    def reference(self, row: Row) -> Row:
        """Return the edits of the original images that a row is compared with: purified as it is."""
        return next(other for other in self.originals if other.id == row.id.reference)


def build_plan(request: EvaluationRequest) -> Plan:
    """Check a request and lay out its rows.

    Raises:
        PhotoguardError: If a name is unknown, an argument is refused or the dataset is not intact.
    """
    request.require_sound()
    if request.executor:
        EXECUTORS.find(request.executor)
    preset = find_preset(request.preset)
    model = identify_model(request.model, request.revision)
    dataset = load_dataset(request.dataset)
    cases = dataset.select(preset.cases)
    _require_native_size(model, dataset, cases)
    editors = _plan_editors(request, preset, model, dataset)
    planned_attacks = plan_attacks(request.attacks, preset, trusted=request.trusted)
    at_budgets = _at_budgets([planned.plugin for planned in planned_attacks], request.balls)
    context = _Context(request, model, editors)
    originals = [context.original(editor, cases, planned.seeds.seed) for editor, planned in editors.items()]
    attack_rows = [
        context.row(attack, budget, editor, cases) for editor in editors for (_, budget), attack in at_budgets.items()
    ]
    rerolls = tuple(context.reroll(editor, cases) for editor in editors)
    purifiers = plan_purifiers(request.purifiers)
    for rows in (originals, attack_rows):
        rows += [purified(row, planned.plugin, request.seed) for planned in purifiers for row in rows]
    keys = [edit.key for row in (*originals, *rerolls, *attack_rows) for edit in row.edits]
    extractor = select_extractor(request.extractor, _is_embedded(model))
    clip = select_clip(request.clip, _is_embedded(model))
    names = [preset.name, model.name, dataset.name, extractor.identity, clip.identity]
    return Plan(
        request,
        preset,
        model,
        dataset,
        cases,
        editors,
        tuple({attack.label: attack for attack in at_budgets.values()}.values()),
        _session(request, preset, planned_attacks, purifiers),
        tuple(originals),
        rerolls,
        tuple(attack_rows),
        extractor,
        clip,
        sha256_of_json([names, keys]),
    )


def _at_budgets(attacks: Sequence[Plugin[Attack]], budgets: Sequence[Ball]) -> dict[tuple[str, Ball], Plugin[Attack]]:
    """Give each attack each budget, and one that has its own that alone; two that have one row of the board are one."""
    rows: dict[tuple[str, Ball], Plugin[Attack]] = {}
    for budget in budgets:
        for attack in attacks:
            rows.setdefault((attack.row_label, attack.declared.budget or budget), attack)
    return rows


def _session(
    request: EvaluationRequest,
    preset: Preset,
    attacks: Sequence[PlannedAttack],
    purifiers: Sequence[PlannedPurifier],
) -> Session:
    return Session(
        model=request.model_choice,
        preset=preset.name,
        attacks={attack.plugin.label: attack.source for attack in attacks},
        limits=request.limits,
        threads=request.threads,
        purifiers={planned.plugin.label: planned.source for planned in purifiers},
    )


def _require_native_size(model: ModelIdentity, dataset: Dataset, cases: Sequence[EditCase]) -> None:
    """Check that a model edits images of about the size that it was trained on: far from it, it draws no scenes."""
    native = model.native_size
    for case in cases:
        height, width = case.size()
        if is_far_from_native(model, (height, width)):
            raise ConfigurationError(
                f"{model.name} was trained on images of {native} × {native}, and {case.image_id} of {dataset.name} is "
                f"{width} × {height}. Make a copy of the dataset at its size with `photoguard-eval dataset resize "
                f"{dataset.name} {dataset.name}-{native} --side {native}`, and give that with --dataset."
            )


def _is_embedded(model: ModelIdentity) -> bool:
    return model.name in resources.embedded_checkpoints()


def edits_of_originals(plan: Plan, editor: str, seed: int) -> Row:
    """Lay out edits of a plan's original images with one seed for all cases, for the seed search."""
    return _Context(plan.request, plan.model, plan.editors).original(editor, plan.cases, lambda _case: seed)


def _plan_editors(
    request: EvaluationRequest, preset: Preset, model: ModelIdentity, dataset: Dataset
) -> dict[str, PlannedEditor]:
    editors = {}
    for name in (editor.name for editor in editors_for(model.kind)):
        settings = preset.settings(name, model, request.settings)
        editors[name] = PlannedEditor(
            EDITORS.create(name), settings, choose_seeds(dataset, model, preset.name, name, settings)
        )
    return editors


@dataclass(frozen=True)
class _Context:
    """Makes the keys of one plan."""

    request: EvaluationRequest
    model: ModelIdentity
    editors: Mapping[str, PlannedEditor]

    def original(self, editor: str, cases: Sequence[EditCase], seed_of: Callable[[EditCase], int]) -> Row:
        return Row(None, editor, (), tuple(self._edit(editor, case, seed_of(case)) for case in cases))

    def reroll(self, editor: str, cases: Sequence[EditCase]) -> Row:
        seeds = self.editors[editor].seeds
        again = self.original(editor, cases, lambda case: reroll_seed(case.id, editor, seeds.seed(case)))
        return replace(again, rerolled=True)

    def row(self, attack: Plugin[Attack], budget: Ball, editor: str, cases: Sequence[EditCase]) -> Row:
        tasks: dict[str, ImmunizeTask] = {}
        edits = []
        for case in cases:
            task = self._immunize(attack, budget, editor, case)
            tasks.setdefault(task.key, task)
            edits.append(self._edit(editor, case, self.editors[editor].seeds.seed(case), task.key))
        return Row(attack, editor, tuple(tasks.values()), tuple(edits))

    def _immunize(self, attack: Plugin[Attack], budget: Ball, editor: str, case: EditCase) -> ImmunizeTask:
        inputs = ImmunizeInputs(
            attack=attack,
            editing=self._editing(editor),
            name=case.id if attack.declared.sees_prompt else case.image_id,
            image=PictureFile(case.image_path, case.image_sha256),
            mask=PictureFile(case.mask_path, case.mask_sha256),
            prompt=case.prompt,
            run_seed=self.request.seed,
            budget=budget,
            trusted=self.request.trusted,
        )
        return ImmunizeTask(case, inputs)

    def _edit(self, editor: str, case: EditCase, seed: int, immunized: str = "") -> EditTask:
        inputs = EditInputs(
            editing=self._editing(editor),
            name=case.id,
            original=PictureFile(case.image_path, case.image_sha256),
            mask=PictureFile(case.mask_path, case.mask_sha256),
            prompt=case.prompt,
            seed=seed,
            immunized=immunized,
        )
        return EditTask(case, inputs)

    def _editing(self, editor: str) -> Editing:
        planned = self.editors[editor]
        return Editing(self.model, self.request.placement, planned.plugin, planned.settings)
