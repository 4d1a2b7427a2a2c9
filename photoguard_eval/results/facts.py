"""What a result says of what was evaluated: attacks, metrics, the model, the dataset, and under what it ran."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from photoguard_eval.metrics import METRICS
from photoguard_eval.results.fields import Amount, Count, Facts, Frozen, Moment, Number, PositiveCount, Seed, Text

METRIC_FACTS = ("printed", "ranked", "on_board", "under_pictures", "unbiased")
"""Of a metric's class: what earlier results do not say."""


class MetricInfo(Frozen):
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
        printed: Whether the paper prints values of it. Of an earlier result, which does not say this and what follows,
            it is what the registered metric of the name says.
        ranked: Whether attacks are ranked by it.
        on_board: Whether it is a column of the leaderboard's table of means.
        under_pictures: Whether its value stands under the picture of each edit.
        unbiased: Whether the expectation of a set metric does not depend on the size of the sets.
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
    printed: bool = False
    ranked: bool = False
    on_board: bool = False
    under_pictures: bool = False
    unbiased: bool = False

    @model_validator(mode="before")
    @classmethod
    def _complete_earlier(cls, fields: Any) -> Any:
        """Take the facts that an earlier result lacks from the registered metric of the name."""
        name = fields.get("name") if isinstance(fields, dict) else None
        metric = METRICS.registered(name) if isinstance(name, str) else None
        if metric is None:
            return fields
        return {**{fact: getattr(metric, fact, False) for fact in METRIC_FACTS}, **fields}


def budget_levels(epsilon: float) -> float:
    """Return a budget in levels of 255, so that budgets are equal that differ by rounding alone.

    Levels are rounded to thousandths, as finely as the harness measures them: 16/255 is 16 levels however many of its
    digits were written, and 0.06275 is 16.001.
    """
    return round(epsilon * 255, 3)


class ThreatModelInfo(Frozen):
    """The threat model of an attack: see `photoguard_eval.attacks.ThreatModel`."""

    norm: Literal["linf", "l2"]
    epsilon: Annotated[float, Field(gt=0, le=1)]
    sees_model: bool
    sees_mask: bool
    sees_prompt: bool


class AttackInfo(Frozen):
    """An attack and everything that it was configured with."""

    name: Text
    label: Text
    title: Text
    paper: Text
    arguments: Facts
    source: Text
    fingerprint: Text
    threat_model: ThreatModelInfo


class FailedAttack(Frozen):
    """An attack that was stopped, and why; it has no row on the board."""

    attack: Text
    editor: Text
    error: Text


class ModelInfo(Frozen):
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


class DatasetInfo(Frozen):
    """The dataset and the cases that were used of it."""

    name: Text
    sha256: Text
    n: PositiveCount
    seeds: Text


class CaseInfo(Frozen):
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
    reroll_seed: dict[Text, Seed] = Field(default_factory=dict)
    image: Text
    mask: Text


class Provenance(Frozen):
    """Under what the evaluation ran.

    Attributes:
        package_version: Of this package.
        libraries: Versions by name.
        python: Its version.
        platform: System and processor.
        threads: Of torch, in each process.
        seed: Of everything random but the edits.
        batch_size: How many images ran at once at most.
        started: When.
        seconds: How long it took.
        command: The command.
        trusted: Whether attacks of others ran in the same process as everything else.
        attack_timeout: Seconds that an attack of others had for an image; None in results of the first schema.
    """

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
    trusted: bool = False
    attack_timeout: Amount | None = None
