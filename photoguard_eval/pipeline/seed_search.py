"""The search for good seeds (paper, A.1): the most realistic and prompt-faithful edit of each original."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.files import write_atomically
from photoguard_eval.metrics import realism_scores
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.plan import Plan, edits_of_originals
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.rows import Row
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.seeds import FoundSeed, SeedFile, seed_file_path
from photoguard_eval.pipeline.store import Store

PROMPT_METRIC = "clip_similarity"
REALISM_NEIGHBOURS = 3
"""Neighbours that the realism score takes its radii from, as its paper does."""

REALISM = "realism against the dataset's images (Kynkäänniemi et al. 2019, Eq. 3)"
QUALITY = "CLIP-IQA, without reference (Wang et al. 2023, Eq. 2)"


def search_seeds(plan: Plan, store: Store, progress: Progress, candidates: int, command: str) -> SeedFile:
    """Try the seeds 0 to `candidates` − 1 for each case and editor of a plan, and choose the best of each.

    A seed is ranked by the CLIP similarity of the original's edit to the prompt and, separately, by the edit's quality;
    the one with the lowest sum of ranks wins, a tie goes to the higher similarity. Quality is CLIP-IQA, which needs no
    reference, where the CLIP was trained on photographs; the embedded one was not, so there it is realism against the
    dataset's images. Immunized images play no part. Edits go through the store, so an interrupted search goes on where
    it stopped.

    Args:
        plan: Names the cases, editors and model.
        store: Where the edits are kept.
        progress: Where to report.
        candidates: How many seeds to try.
        command: The command, for the record.

    Raises:
        ConfigurationError: If there are fewer than two candidates, or realism is to be scored against a single image.
    """
    if candidates < 2:
        raise ConfigurationError(f"{candidates} candidate seeds leave nothing to choose; give at least 2.")
    if plan.clip.is_embedded and len({case.image_id for case in plan.dataset.cases}) < 2:
        raise ConfigurationError(
            f"{plan.dataset.name} has a single image, and the search scores edits by their {REALISM}, of at least "
            "2. Add images, or give another model with --clip."
        )
    evaluation = Evaluation(plan, store, progress)
    scorer = Scorer(plan, store)
    seeds: dict[str, dict[str, FoundSeed]] = {}
    with closing(evaluation):
        for editor in plan.editors:
            rows = [edits_of_originals(plan, editor, seed) for seed in range(candidates)]
            for seed, row in enumerate(rows):
                progress.say(f"{editor}: seed {seed} of {candidates - 1}")
                evaluation.compute([row])
            seeds[editor] = _choose(plan, scorer, rows)
    return SeedFile(
        model=plan.model.name,
        weights_sha256=plan.model.weights_sha256,
        dataset_sha256=plan.dataset.sha256,
        preset=plan.preset.name,
        candidates=candidates,
        command=command,
        quality_score=REALISM if plan.clip.is_embedded else QUALITY,
        settings={
            name: editor.settings.model_dump(mode="json", exclude={"composite"})
            for name, editor in plan.editors.items()
        },
        seeds=seeds,
    )


def write_seeds(plan: Plan, found: SeedFile, output: Path | None) -> Path:
    """Write the record of a search to the dataset's folder, where evaluations read it, or elsewhere."""
    path = output or seed_file_path(plan.dataset, plan.model.name, plan.preset.name)
    write_atomically(path, (found.model_dump_json(indent=1) + "\n").encode())
    return path


def _choose(plan: Plan, scorer: Scorer, rows: Sequence[Row]) -> dict[str, FoundSeed]:
    score = next(score for score in scorer.scores if score.name == PROMPT_METRIC)
    similarities = [scorer.case_scores(row, score) or [] for row in rows]
    qualities = _qualities(plan, scorer, rows)
    chosen = {}
    for index, case in enumerate(plan.cases):
        similarity = [values[index] for values in similarities]
        quality = [values[index] for values in qualities]
        ranks = [a + b for a, b in zip(_ranks(similarity), _ranks(quality), strict=True)]
        best = min(range(len(rows)), key=lambda seed: (ranks[seed], -similarity[seed]))
        chosen[case.id] = FoundSeed(seed=best, clip_similarity=similarity[best], quality=quality[best])
    return chosen


def _qualities(plan: Plan, scorer: Scorer, rows: Sequence[Row]) -> list[list[float]]:
    if not plan.clip.is_embedded:
        return [scorer.qualities(row) for row in rows]
    references = scorer.original_features()
    return [realism_scores(scorer.edit_features(row), references, REALISM_NEIGHBOURS).tolist() for row in rows]


def _ranks(values: Sequence[float]) -> list[int]:
    """Return the rank of each value, 0 for the highest; equal values share the better rank."""
    return [sum(other > value for other in values) for value in values]
