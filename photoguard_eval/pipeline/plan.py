"""The plan of an evaluation: all cells and the key of each, before anything heavy is loaded.

A cell's key is the hash of everything that its artifact depends on: the image, mask and prompt, the settings, the
weights, the code of this package and the versions of the libraries. So a plan can be compared with a store without
loading a model, a finished cell is never computed again, and a changed one never mistaken for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from photoguard_eval import resources
from photoguard_eval.attacks import ATTACKS, DEFAULT_STEPS, Attack, Ball, EnsembleAttack, GradientAttack
from photoguard_eval.data.cases import Dataset, EditCase, load_dataset
from photoguard_eval.diffusion import (
    EDITORS,
    Editor,
    EditSettings,
    LatentDiffusion,
    ModelIdentity,
    default_model,
    editors_for,
    identify_model,
    load_model,
)
from photoguard_eval.diffusion.native_size import is_far_from_native
from photoguard_eval.errors import ConfigurationError, DuplicateNameError
from photoguard_eval.files import sha256_of_json
from photoguard_eval.metrics import FeatureExtractor, TextImageModel, select_clip, select_extractor
from photoguard_eval.pipeline.artifacts import EditFacts, Facts, ImmunizedFacts
from photoguard_eval.pipeline.inputs import Editing, ImmunizeInputs, Placement, edit_key
from photoguard_eval.pipeline.presets import DEFAULT_ATTACKS, Preset, find_preset
from photoguard_eval.pipeline.seeds import EditSeeds, choose_seeds, reroll_seed
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.randomness import require_seed
from photoguard_eval.results.facts import budget_levels
from photoguard_eval.results.rows import ORIGINAL, OWN_SEEDS, REFERENCES, REROLL, Budget, RowId

EMBEDDED_DATASET = "emoji-scenes"
DEFAULT_DATASET = "photos"
DEFAULT_PRESET = "ci"


@dataclass(frozen=True)
class EvaluationRequest:
    """What a user asks for.

    Attributes:
        model: An embedded checkpoint, a diffusers folder, a safetensors file or a hub id; "" for the one that suits the
            device.
        revision: Commit of a hub model.
        dataset: A dataset of the package or a folder; "" for the one that suits the model.
        preset: Name of a preset.
        attacks: Specs of the attacks; see `photoguard_eval.plugins.registry`.
        seed: Of everything random but the edits, whose seeds are the dataset's.
        device: "cpu" or "cuda".
        dtype: "float32", "float16" or "bfloat16".
        batch_size: How many images run at once at most; on a GPU fewer where its memory does not hold so many.
        workers: Processes that share the work; None for one on a processor and one for each visible GPU.
        settings: Settings of the edits that differ from the preset's, by name; see `EditSettings`.
        extractor: Feature extractor of the distribution metrics, see `photoguard_eval.metrics`.
        clip: Text-image model of the prompt metric, see `photoguard_eval.metrics`.
        checkpointing: See `load_model`.
        vae_tiling: See `load_model`.
        cpu_offload: See `load_model`.
        compiled: See `load_model`.
    """

    model: str = ""
    revision: str | None = None
    dataset: str = ""
    preset: str = DEFAULT_PRESET
    attacks: tuple[str, ...] = DEFAULT_ATTACKS
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int = 12
    workers: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    extractor: str = "auto"
    clip: str = "auto"
    checkpointing: bool | None = None
    vae_tiling: bool = False
    cpu_offload: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        """Fill in the model that suits the device, and the dataset that suits the model."""
        model = self.model or default_model(self.device)
        embedded = model in resources.embedded_checkpoints()
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "dataset", self.dataset or (EMBEDDED_DATASET if embedded else DEFAULT_DATASET))

    @property
    def placement(self) -> Placement:
        """Where and how the model computes."""
        return Placement(self.dtype, self.device, self.vae_tiling, self.cpu_offload, self.compiled)

    def load_model(self) -> LatentDiffusion:
        """Load the model as it was asked for; see `photoguard_eval.diffusion.load_model`."""
        return load_model(
            self.model,
            device=self.device,
            dtype=self.dtype,
            revision=self.revision,
            checkpointing=self.checkpointing,
            vae_tiling=self.vae_tiling,
            cpu_offload=self.cpu_offload,
            compiled=self.compiled,
        )


@dataclass(frozen=True)
class ImmunizeCell:
    """An image to immunize. The prompts of an image share it, unless the attack sees the prompt."""

    facts: ClassVar[type[Facts]] = ImmunizedFacts

    id: str
    case: EditCase
    key: str
    seed: int


@dataclass(frozen=True)
class EditCell:
    """An edit of the original or of an immunized image.

    Attributes:
        case: The case.
        seed: The seed of the edit.
        key: Of the edit's artifact.
        immunized: Key of the immunized image; "" for an edit of the original.
        facts: What the store must know of it.
    """

    facts: ClassVar[type[Facts]] = EditFacts

    case: EditCase
    seed: int
    key: str
    immunized: str


@dataclass(frozen=True)
class Method:
    """A row of the board and the cells behind it.

    Attributes:
        attack: The attack; None for the original images.
        editor: Name of the editor.
        immunize: Images to immunize; empty for the originals.
        edits: One edit per case.
        rerolled: Whether the original images are edited with another seed than everything else.
    """

    attack: Plugin[Attack] | None
    editor: str
    immunize: tuple[ImmunizeCell, ...]
    edits: tuple[EditCell, ...]
    rerolled: bool = False

    @property
    def label(self) -> str:
        """Label of the attack, or the name of a row of unprotected images."""
        if self.attack is not None:
            return self.attack.label
        return REROLL if self.rerolled else ORIGINAL

    def row_id(self, model: str) -> RowId:
        """Return what tells the row of the result from all others.

        Args:
            model: Name of the model that edits.
        """
        threat_model = self.attack.declared.within() if self.attack else None
        return RowId(
            attack=self.attack.row_label if self.attack else None,
            budget=Budget(norm=threat_model.norm, levels=budget_levels(threat_model.epsilon)) if threat_model else None,
            editor=self.editor,
            model=model,
            seeds=REROLL if self.rerolled else OWN_SEEDS,
        )

    @property
    def cells(self) -> tuple[ImmunizeCell | EditCell, ...]:
        """All images of the row."""
        return (*self.immunize, *self.edits)


@dataclass(frozen=True)
class PlannedEditor:
    """An editor and its settings in this evaluation."""

    plugin: Plugin[Editor]
    settings: EditSettings
    seeds: EditSeeds


@dataclass(frozen=True)
class Plan:
    """All cells of an evaluation.

    Attributes:
        request: What was asked for.
        preset: The preset.
        model: The model's identity.
        dataset: The dataset.
        cases: The cases that are used of it.
        editors: The editors by name.
        attacks: The attacks in the order of the report.
        originals: Edits of the original images, one method per editor.
        rerolls: Edits of the original images with another seed, one method per editor.
        methods: One method per attack and editor.
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
    originals: tuple[Method, ...]
    rerolls: tuple[Method, ...]
    methods: tuple[Method, ...]
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
    def all_methods(self) -> tuple[Method, ...]:
        """All rows, those of unprotected images first."""
        return (*self.originals, *self.rerolls, *self.methods)

    def original(self, editor: str) -> Method:
        """Return the edits of the original images under an editor."""
        return next(method for method in self.originals if method.editor == editor)


def build_plan(request: EvaluationRequest) -> Plan:
    """Check a request and lay out its cells.

    Raises:
        PhotoguardError: If a name is unknown, an argument is refused or the dataset is not intact.
    """
    if request.batch_size < 1:
        raise ConfigurationError(f"The batch size is {request.batch_size}; expected at least 1.")
    if request.workers is not None and request.workers < 1:
        raise ConfigurationError(f"The number of workers is {request.workers}; expected at least 1.")
    require_seed(request.seed)
    preset = find_preset(request.preset)
    model = identify_model(request.model, request.revision)
    dataset = load_dataset(request.dataset)
    cases = dataset.select(preset.cases)
    _require_native_size(model, dataset, cases)
    editors = _plan_editors(request, preset, model, dataset)
    attacks = create_attacks(request.attacks, preset)
    context = _Context(request, model, editors)
    originals = tuple(context.original(editor, cases, planned.seeds.seed) for editor, planned in editors.items())
    rerolls = tuple(context.reroll(editor, cases) for editor in editors)
    methods = tuple(context.method(attack, editor, cases) for editor in editors for attack in attacks)
    keys = [edit.key for method in (*originals, *rerolls, *methods) for edit in method.edits]
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
        attacks,
        originals,
        rerolls,
        methods,
        extractor,
        clip,
        sha256_of_json([names, keys]),
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


def edits_of_originals(plan: Plan, editor: str, seed: int) -> Method:
    """Lay out edits of a plan's original images with one seed for all cases, for the seed search."""
    return _Context(plan.request, plan.model, plan.editors).original(editor, plan.cases, lambda _case: seed)


def create_attacks(specs: Sequence[str], preset: Preset) -> tuple[Plugin[Attack], ...]:
    """Build the attacks that specs name, with a preset's defaults; two specs of one row count once.

    Raises:
        DuplicateNameError: If two different attacks have the same label, or one that of a row of unprotected images.
        ConfigurationError: If there is none.
    """
    attacks: dict[tuple[str, Ball], Plugin[Attack]] = {}
    for spec in specs:
        plugin = create_attack(spec, preset)
        if plugin.label in REFERENCES:
            raise DuplicateNameError(
                f"The attack of {plugin.source} is named {plugin.label!r}, as a row of unprotected images is. "
                "Rename it."
            )
        other = attacks.setdefault((plugin.row_label, plugin.declared.within().budget), plugin)
        if (other.source, other.fingerprint) != (plugin.source, plugin.fingerprint):
            raise DuplicateNameError(
                f"Two attacks are named {plugin.label!r}: of {other.source} and of {plugin.source}. Rename one of them."
            )
    if not attacks:
        raise ConfigurationError("No attack was named. Give at least one, for example --attack noise.")
    return tuple(attacks.values())


def create_attack(spec: str, preset: Preset) -> Plugin[Attack]:
    """Build an attack with a preset's defaults, as far as its constructor takes them.

    An attack that leaves the number of gradient steps to `GradientAttack` takes the preset's number, though its own
    constructor has no such argument; one that fixes another number keeps it, see `notes_on`.
    """
    factory = ATTACKS.find(spec)
    defaults = preset.attack_defaults.get(factory.name)
    if defaults is None and preset.attack_steps and issubclass(factory, (GradientAttack, EnsembleAttack)):
        defaults = {"steps": preset.attack_steps}
    attack = ATTACKS.create(spec, defaults)
    instance, steps = attack.instance, (defaults or {}).get("steps", DEFAULT_STEPS)
    if "steps" in attack.left_out and isinstance(instance, GradientAttack) and instance.steps == DEFAULT_STEPS:
        instance.take_steps(steps)
        attack = replace(
            attack,
            arguments={**attack.arguments, "steps": steps},
            left_out=tuple(name for name in attack.left_out if name != "steps"),
        )
    return attack


def notes_on(attack: Plugin[Attack], preset: Preset) -> tuple[str, ...]:
    """Say which of a preset's defaults an attack does not take, which makes the comparison with others unfair."""
    if not attack.left_out:
        return ()
    names = " and ".join(attack.left_out)
    steps = getattr(attack.instance, "steps", None)
    own = f" and runs with {steps} steps" if "steps" in attack.left_out and isinstance(steps, int) else ""
    return (
        f"{attack.label} does not take {names} of the preset {preset.name!r}{own}: its constructor has no such "
        "argument. Give it one, or `**options` that it hands on to super().__init__().",
    )


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

    def original(self, editor: str, cases: Sequence[EditCase], seed_of: Callable[[EditCase], int]) -> Method:
        edits = tuple(self._edit(editor, case, seed_of(case), "") for case in cases)
        return Method(None, editor, (), edits)

    def reroll(self, editor: str, cases: Sequence[EditCase]) -> Method:
        seeds = self.editors[editor].seeds
        again = self.original(editor, cases, lambda case: reroll_seed(case.id, editor, seeds.seed(case)))
        return replace(again, rerolled=True)

    def method(self, attack: Plugin[Attack], editor: str, cases: Sequence[EditCase]) -> Method:
        cells: dict[str, ImmunizeCell] = {}
        edits = []
        for case in cases:
            cell = self._immunize(attack, editor, case)
            cells.setdefault(cell.key, cell)
            edits.append(self._edit(editor, case, self.editors[editor].seeds.seed(case), cell.key))
        return Method(attack, editor, tuple(cells.values()), tuple(edits))

    def _immunize(self, attack: Plugin[Attack], editor: str, case: EditCase) -> ImmunizeCell:
        name = case.id if attack.declared.sees_prompt else case.image_id
        inputs = ImmunizeInputs(
            attack,
            self._editing(editor),
            name,
            case.image_sha256,
            case.mask_sha256,
            case.prompt,
            self.request.seed,
        )
        return ImmunizeCell(name, case, inputs.key, inputs.seed)

    def _edit(self, editor: str, case: EditCase, seed: int, immunized: str) -> EditCell:
        return EditCell(case, seed, edit_key(self._editing(editor), case, seed, immunized), immunized)

    def _editing(self, editor: str) -> Editing:
        planned = self.editors[editor]
        return Editing(self.model, self.request.placement, planned.plugin, planned.settings)
