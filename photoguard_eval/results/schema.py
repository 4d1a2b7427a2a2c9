"""The result of an evaluation, as a versioned schema.

A result holds every number that tables, figures and the gate need, and the provenance of each; images stay in the
store and are named by their keys. Models are frozen and refuse unknown fields. When the schema changes, its version
goes up and a migration from each earlier version is added, so that old files keep loading.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from photoguard_eval.errors import StoreError
from photoguard_eval.files import write_atomically
from photoguard_eval.results.fields import Amount, Count, Facts, Moment, Number, PositiveCount, Seed, Text

SCHEMA_VERSION = 1


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Versioned(BaseModel):
    """The version of a file, whatever else it holds."""

    schema_version: Any = None


ORIGINAL = "original"
"""How the rows of the unprotected images are called."""

REROLL = "re-roll"
"""How those rows are called whose unprotected images were edited with another seed."""

REFERENCES = (ORIGINAL, REROLL)
"""Rows that are of no attack."""


def _require_once(what: str, names: Sequence[str]) -> None:
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(f"the {what} {doubled[0]} is there twice")


def row_label(attack: str | None, rerolled: bool) -> str:
    """Return how a row is called.

    Args:
        attack: Label of its attack; None for unprotected images.
        rerolled: Whether these were edited with another seed.
    """
    if attack is not None:
        return attack
    return REROLL if rerolled else ORIGINAL


class MetricInfo(_Frozen):
    """What a reader of a table has to know about a metric.

    Attributes:
        name: Identifier, `ssim`.
        label: As the paper prints it, `SSIM`.
        kind: What it compares: two images, two sets of images, or an image and a text.
        subject: What is measured: the edit of the immunized image, or the immunized image itself.
        higher_is_more_similar: The arrow of the paper's tables. For edits, less similar is better protection; for
            the immunized image, more similar is less perceptible.
        source: The publication that defines it, and the implementation used.
        extractor: The feature extractor or text model it used, with the hash of its weights; "" for none.
        table: Where the paper reports it: "6", "10", "figure 7", or "" for measures of this benchmark.
        optional: Whether machines without its weights leave it out; it is then no part of a baseline.
        scale: What its tolerances are shares of, see `photoguard_eval.metrics.Metric`; None in earlier results.
        lower_bound: Least possible value; None if unbounded, and in earlier results.
        upper_bound: Greatest possible value; None likewise.
        plugin: The package, module or file that it comes from, if it is not this package's; "" otherwise.
        settled_from: Of how many cases its value says which of two rows is better; of fewer none is best or ranked.
    """

    name: Text
    label: Text
    kind: Literal["pairwise", "distribution", "prompt"]
    subject: Literal["edit", "immunized"]
    higher_is_more_similar: bool
    source: Text
    extractor: Text = ""
    table: Literal["6", "10", "figure 7", ""] = ""
    optional: bool = False
    scale: Number | None = None
    lower_bound: Number | None = None
    upper_bound: Number | None = None
    plugin: Text = ""
    settled_from: Count = 0


class Summary(_Frozen):
    """A metric over the cases.

    Attributes:
        mean: Arithmetic mean; of a set metric, its value.
        std: Standard deviation over the cases (n − 1 in the denominator), as the paper's tables; None for one case,
            and for a set metric, which has one value for all cases.
        first_quartile: 25th percentile, as Figure 7's interquartile range; None for a set metric.
        median: 50th percentile; None for a set metric.
        third_quartile: 75th percentile; None for a set metric.
    """

    mean: Number
    std: Amount | None = None
    first_quartile: Number | None = None
    median: Number | None = None
    third_quartile: Number | None = None

    @model_validator(mode="after")
    def _require_all_quartiles(self) -> Self:
        quartiles = (self.first_quartile, self.median, self.third_quartile)
        if len({value is None for value in quartiles}) > 1:
            raise ValueError("expected all three quartiles, or none")
        return self


def budget_levels(epsilon: float) -> float:
    """Return a budget in levels of 255, so that budgets are equal that differ by rounding alone.

    Levels are rounded to thousandths, as finely as the harness measures them: 16/255 is 16 levels however many of its
    digits were written, and 0.06275 is 16.001.
    """
    return round(epsilon * 255, 3)


class ThreatModelInfo(_Frozen):
    """The threat model of an attack: see `photoguard_eval.attacks.ThreatModel`."""

    norm: Literal["linf", "l2"]
    epsilon: Annotated[float, Field(gt=0, le=1)]
    sees_model: bool
    sees_mask: bool
    sees_prompt: bool


class AttackInfo(_Frozen):
    """An attack and everything that it was configured with."""

    name: Text
    label: Text
    title: Text
    paper: Text
    arguments: Facts
    source: Text
    fingerprint: Text
    threat_model: ThreatModelInfo


class Cost(_Frozen):
    """What immunizing one image cost, as a mean over the images.

    Attributes:
        seconds: Wall time divided by the images of the batch.
        gradient_evaluations: Gradients with respect to the image: how often one came back through the encoder.
        unet_calls: Forward passes of the UNet, counted per sample.
        encoder_calls: Forward passes of the encoder, counted per sample.
        peak_memory_mib: Growth of the process's (or the GPU's) peak memory while the batch ran.
        batch_size: How many images ran at once.
    """

    seconds: Amount
    gradient_evaluations: Amount
    unet_calls: Amount
    encoder_calls: Amount
    peak_memory_mib: Amount
    batch_size: PositiveCount


class CaseResult(_Frozen):
    """One case under one attack and editor.

    Attributes:
        case_id: The case.
        immunized: Key of the immunized image's artifact; "" for the original, and in a result without its pictures.
        edit: Key of the edit's artifact; "" in a result without its pictures.
        linf_levels: Largest change of a channel value in the saved file, in levels of 1/255.
        rms_levels: Root mean square change over the whole image, in levels of 1/255.
        scores: Metric values by name.
    """

    case_id: Text
    immunized: Text
    edit: Text
    linf_levels: Amount
    rms_levels: Amount
    scores: dict[Text, Number]


class MethodResult(_Frozen):
    """One row of the board: an attack under an editor.

    Attributes:
        attack: The attack; None in the rows of the original, unprotected images.
        editor: The editor's name.
        rerolled: Whether the unprotected images were edited with another seed than all else: how far chance alone moves
            an edit.
        n: Number of cases.
        metrics: Every metric's summary by name.
        cases: The cases in the dataset's order.
        cost: What the attack cost; None for the originals and for folders of finished images.
    """

    attack: AttackInfo | None
    editor: Text
    rerolled: bool = False
    n: PositiveCount
    metrics: dict[Text, Summary]
    cases: tuple[CaseResult, ...]
    cost: Cost | None = None

    @model_validator(mode="after")
    def _require_whole(self) -> Self:
        """Check that what is summed up is there: a score of each case, once."""
        _require_once("case", [case.case_id for case in self.cases])
        if self.n != len(self.cases):
            raise ValueError(f"n is {self.n}, and there are {len(self.cases)} cases")
        for name, summary in self.metrics.items():
            has_std, has_quartiles = summary.std is not None, summary.median is not None
            # One case has quartiles and no standard deviation, a set metric has neither.
            if has_std != has_quartiles and (has_std or self.n > 1):
                raise ValueError(f"the summary of {name} has one of standard deviation and quartiles without the other")
        summarized = {name for name, summary in self.metrics.items() if summary.median is not None}
        for case in self.cases:
            if set(case.scores) != summarized:
                name = min(set(case.scores) ^ summarized)
                raise ValueError(f"the scores of {case.case_id} and the summaries of {self.label} differ in {name}")
        return self

    @property
    def label(self) -> str:
        """Label of the attack, or the name of a row of unprotected images."""
        return row_label(self.attack.label if self.attack else None, self.rerolled)


class FailedAttack(_Frozen):
    """An attack that was stopped, and why; it has no row on the board."""

    attack: Text
    editor: Text
    error: Text


class ModelInfo(_Frozen):
    """The model that was attacked and edited with."""

    name: Text
    revision: Text
    weights_sha256: Text
    kind: Literal["inpainting", "text-to-image", "instruction"]
    dtype: Text
    device: Text
    vae_tiling: bool = False
    cpu_offload: bool = False
    compiled: bool = False


class DatasetInfo(_Frozen):
    """The dataset and the cases that were used of it."""

    name: Text
    sha256: Text
    n: PositiveCount
    seeds: Text


class CaseInfo(_Frozen):
    """A case as the report shows it.

    Attributes:
        id: The case.
        image_id: Its image.
        prompt: The prompt.
        seed: Of its edits, by editor.
        reroll_seed: Of the other edit of the unprotected image, by editor; empty in results without such a row.
        image: The image's file, relative to the dataset's folder.
        mask: The mask's file, likewise.
    """

    id: Text
    image_id: Text
    prompt: Text
    seed: dict[Text, Seed]
    reroll_seed: dict[Text, Seed] = {}
    image: Text
    mask: Text


class Provenance(_Frozen):
    """Under what the evaluation ran."""

    package_version: Text
    libraries: dict[Text, Text]
    python: Text
    platform: Text
    threads: Count
    seed: int
    batch_size: PositiveCount
    started: Moment
    seconds: Amount
    command: Text


class EvaluationResult(_Frozen):
    """Everything that one evaluation found.

    Attributes:
        schema_version: See `SCHEMA_VERSION`.
        id: Hash of the plan: the same id means the same cells.
        preset: Name of the preset.
        model: The model.
        dataset: The dataset.
        editors: Settings of each editor by its name.
        changed_settings: Names of those that are not the preset's for the model.
        metrics: All metrics in the order of the paper's tables.
        cases: The cases in the dataset's order.
        originals: One row per editor: edits of the unprotected images.
        rerolls: One row per editor: edits of the unprotected images with another seed; none in earlier results.
        methods: One row per attack and editor.
        failures: Attacks that were stopped.
        provenance: Under what it ran.
    """

    schema_version: Literal[1] = 1
    id: Text
    preset: Text
    model: ModelInfo
    dataset: DatasetInfo
    editors: dict[Text, Facts]
    changed_settings: tuple[Text, ...] = ()
    metrics: tuple[MetricInfo, ...]
    cases: tuple[CaseInfo, ...]
    originals: tuple[MethodResult, ...]
    rerolls: tuple[MethodResult, ...] = ()
    methods: tuple[MethodResult, ...]
    failures: tuple[FailedAttack, ...] = ()
    provenance: Provenance

    @model_validator(mode="after")
    def _require_consistent(self) -> Self:
        """Check that every row is of this evaluation's editors, cases and metrics, and is there once."""
        ids = [case.id for case in self.cases]
        _require_once("case", ids)
        _require_once("metric", [metric.name for metric in self.metrics])
        if self.dataset.n != len(ids):
            raise ValueError(f"the dataset's n is {self.dataset.n}, and there are {len(ids)} cases")
        if [row.editor for row in self.originals] != list(self.editors):
            raise ValueError("expected one row of the originals for each editor, in their order")
        _require_once("row", [f"{row.label} under {row.editor}" for row in self.all_rows])
        per_case = {metric.name: metric.kind != "distribution" for metric in self.metrics}
        for row, kind in self._rows_by_kind():
            name = f"{row.label} under {row.editor}"
            if (row.attack is None, row.rerolled) != kind or row.editor not in self.editors:
                raise ValueError(f"the row {name} stands where rows of its kind, or of its editor, do not")
            if [case.case_id for case in row.cases] != ids:
                raise ValueError(f"the cases of {name} are not those of the evaluation, in their order")
            for metric, summary in row.metrics.items():
                if metric not in per_case:
                    raise ValueError(f"{name} has values of {metric}, which is not among the metrics")
                if per_case[metric] != (summary.median is not None):
                    raise ValueError(f"the summary of {metric} of {name} is not such as its kind of metric has")
        for row in self.methods[1:]:
            others = set(row.metrics) ^ set(self.methods[0].metrics)
            if others:
                raise ValueError(f"some rows of attacks have values of {min(others)}, others have none")
        return self

    def _rows_by_kind(self) -> Iterator[tuple[MethodResult, tuple[bool, bool]]]:
        """Yield all rows with whether they must be of unprotected images, and edited with another seed."""
        for rows, kind in (
            (self.originals, (True, False)),
            (self.rerolls, (True, True)),
            (self.methods, (False, False)),
        ):
            yield from ((row, kind) for row in rows)

    def method(self, attack_label: str, editor: str) -> MethodResult | None:
        """Return the row of an attack under an editor, or None."""
        for method in self.methods:
            if method.attack is not None and (method.attack.label, method.editor) == (attack_label, editor):
                return method
        return None

    def original(self, editor: str) -> MethodResult | None:
        """Return the row of the unprotected images under an editor, or None."""
        return next((method for method in self.originals if method.editor == editor), None)

    def reroll(self, editor: str) -> MethodResult | None:
        """Return the row of the unprotected images that were edited with another seed, or None."""
        return next((method for method in self.rerolls if method.editor == editor), None)

    @property
    def all_rows(self) -> tuple[MethodResult, ...]:
        """All rows, those of unprotected images first."""
        return (*self.originals, *self.rerolls, *self.methods)

    def metric(self, name: str) -> MetricInfo | None:
        """Return what is known of a metric, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)


Verdict = Literal["holds", "gained", "not reproduced", "lost", "refuted"]


class ClaimOutcome(_Frozen):
    """A claim of the paper as measured.

    Attributes:
        id: Stable name, `diffusion-beats-encoder/ssim/inpaint`.
        statement: The claim in words.
        editor: The editor it was measured under.
        metric: The metric it is about.
        margin: How far the measurement goes in the claim's direction, in the metric's unit: positive where it holds.
        standard_error: Standard error of the margin over the images, paired; None for a set metric, and where there is
            a single image.
        uncertainty: How much of the margin may be chance: its standard error, or for a set metric how far the values of
            both rows may move between processors; None where there is a single image, of which nothing follows.
        holds: Whether the margin is positive.
        held_in_baseline: Whether it clearly held when the baseline was blessed; None without a baseline, and where the
            attacks do not have the preset's arguments.
        of_the_preset: Whether they have.
        required: Whether the run is of the paper's own setting, in which the claim must hold.
    """

    id: str
    statement: str
    editor: str
    metric: str
    margin: float
    standard_error: float | None
    uncertainty: float | None
    holds: bool
    held_in_baseline: bool | None
    of_the_preset: bool = True
    required: bool = False

    @property
    def clearly_holds(self) -> bool:
        """Whether it holds by more than may be chance; never where that is not known."""
        return self.uncertainty is not None and self.margin > self.uncertainty

    @property
    def clearly_fails(self) -> bool:
        """Whether the opposite holds by more than may be chance; never where that is not known."""
        return self.uncertainty is not None and self.margin < -self.uncertainty

    @property
    def verdict(self) -> Verdict:
        """How the claim stands.

        One that held in the baseline and no longer does is lost, one that the paper's own setting contradicts by more
        than may be chance is refuted; either fails the gate.
        """
        if self.holds:
            return "gained" if self.held_in_baseline is False else "holds"
        if self.held_in_baseline:
            return "lost"
        return "refuted" if self.required and self.clearly_fails else "not reproduced"


class ThresholdOutcome(_Frozen):
    """A measured mean beside the baseline's.

    Attributes:
        attack: Label of the attack; "original" or "re-roll" for the unprotected images.
        editor: The editor.
        metric: The metric.
        baseline: The recorded mean.
        measured: The measured mean.
        tolerance: How far the mean may move to the worse side (of a floor: to either side).
        side: Which side is worse: the value must not be "above" or "below" the baseline, or move to "either" side.
        passed: Whether it stayed within the tolerance.
        reason: Why the tolerance is what it is.
        cases: How many cases were compared one by one; 0 for a set metric, and where the baseline has no scores of
            cases.
        cases_beyond: How many of them moved to the worse side by more than the tolerance.
        worst_case: The case that moved furthest to the worse side; "" where none was compared.
        worst_change: By how much its score rose or fell.
    """

    attack: str
    editor: str
    metric: str
    baseline: float
    measured: float
    tolerance: float
    side: Literal["above", "below", "either"]
    passed: bool
    reason: str
    cases: int = 0
    cases_beyond: int = 0
    worst_case: str = ""
    worst_change: float = 0.0

    @property
    def cases_text(self) -> str:
        """Which cases moved, in a few words; "" where none was compared."""
        if not self.cases:
            return ""
        return f"{self.cases_beyond} of {self.cases} cases by more, most {self.worst_case} ({self.worst_change:+.3f})"


class GateReport(_Frozen):
    """What the gate found: every claim, and every threshold if there is a baseline.

    Attributes:
        baseline: The file that was compared with; "" if there is none for this model, dataset and preset.
        claims: All claims, those that do not hold included.
        thresholds: All thresholds.
        failures: Attacks that were stopped during the evaluation; they fail the gate.
        ungated_metrics: Labels of the metrics of other packages that the baseline does not hold.
        ungated_attacks: Labels of the attacks that it does not hold.
        not_compared: Why a baseline that is there was not compared with; "" otherwise.
    """

    baseline: str
    claims: tuple[ClaimOutcome, ...]
    thresholds: tuple[ThresholdOutcome, ...]
    failures: tuple[FailedAttack, ...] = ()
    ungated_metrics: tuple[str, ...] = ()
    ungated_attacks: tuple[str, ...] = ()
    not_compared: str = ""

    @property
    def passed(self) -> bool:
        """Whether no claim was lost or refuted, every threshold was kept and no attack was stopped."""
        failed = any(claim.verdict in ("lost", "refuted") for claim in self.claims)
        return not failed and all(threshold.passed for threshold in self.thresholds) and not self.failures


def without_pictures(result: EvaluationResult) -> EvaluationResult:
    """Leave out the keys of images, for a result that is read where the store is not."""
    groups = ("originals", "rerolls", "methods")
    return result.model_copy(update={group: _without_keys(getattr(result, group)) for group in groups})


def _without_keys(methods: tuple[MethodResult, ...]) -> tuple[MethodResult, ...]:
    return tuple(
        method.model_copy(
            update={"cases": tuple(case.model_copy(update={"immunized": "", "edit": ""}) for case in method.cases)}
        )
        for method in methods
    )


def write_result(path: Path, result: EvaluationResult) -> None:
    """Write a result as JSON, atomically."""
    write_atomically(path, (result.model_dump_json(indent=1) + "\n").encode())


def read_result(path: Path) -> EvaluationResult:
    """Read a result of this schema version or an earlier one.

    Raises:
        StoreError: If the file is missing, damaged or of a later schema.
    """
    try:
        data = path.read_bytes()
        version = _Versioned.model_validate_json(data).schema_version
    except OSError as error:
        raise StoreError(f"{path} is no readable result ({error}). Run the evaluation again.") from error
    except ValidationError as error:
        raise StoreError(f"{path} is no readable result ({_first(error)}). Run the evaluation again.") from error
    if type(version) is not int or version != SCHEMA_VERSION:
        raise StoreError(
            f"{path} has result schema {reprlib.repr(version)}; this version reads {SCHEMA_VERSION}. "
            "Use the version of photoguard-eval that wrote it, or run the evaluation again."
        )
    try:
        # Strict: text that stands for a number was not written by this package.
        return EvaluationResult.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise StoreError(
            f"{path} does not fit result schema {version}: {_first(error)}. Take a file that `leaderboard --export` "
            "wrote, or run the evaluation again."
        ) from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
