"""The seeds of the edits, and the search for them (paper, A.1).

The paper searches for each case a seed that leads to a realistic edit of the original image, and then uses it for
every immunized version of the image. The search is recorded in the dataset's folder, for each model and preset, since
a seed means another picture under other weights or another number of steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from photoguard_eval.data.cases import Dataset, EditCase
from photoguard_eval.diffusion import EditSettings, ModelIdentity
from photoguard_eval.errors import DatasetError, UnreadableFileError
from photoguard_eval.files import parse_json, read_text
from photoguard_eval.randomness import derive_seed


class FoundSeed(BaseModel):
    """The seed that a search chose for a case.

    Attributes:
        seed: The seed.
        clip_similarity: Cosine similarity of the original's edit to the prompt.
        quality: Of that edit, by the record's quality score.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int
    clip_similarity: float
    quality: float


class SeedFile(BaseModel):
    """The record of a seed search.

    Attributes:
        schema_version: Of this form.
        model: Name of the model.
        weights_sha256: Hash of its weights.
        dataset_sha256: Hash of the dataset.
        preset: Name of the preset.
        candidates: How many seeds were tried for each case.
        command: The command that made it.
        quality_score: How the quality of an edit was scored.
        settings: Settings of each editor.
        seeds: For each editor, the chosen seed of each case.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    model: str
    weights_sha256: str
    dataset_sha256: str
    preset: str
    candidates: int
    command: str
    quality_score: str
    settings: dict[str, dict[str, Any]]
    seeds: dict[str, dict[str, FoundSeed]]


class EditSeeds(BaseModel):
    """The seeds that an evaluation uses under one editor.

    Attributes:
        origin: Where they come from, as a sentence of the report.
        chosen: Seeds by case; a case that is not in it uses its own of the metadata.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: str
    chosen: dict[str, int]

    def seed(self, case: EditCase) -> int:
        """Return the seed of a case."""
        return self.chosen.get(case.id, case.seed)


def reroll_seed(case_id: str, editor: str, own: int) -> int:
    """Return the seed of another edit of a case's original, which no search has chosen.

    It follows from the case and the editor alone, so that every run on a dataset has the same, whatever its seeds.

    Args:
        case_id: The case.
        editor: Name of the editor.
        own: The seed of the case's other edits, which is never returned.
    """
    seed = derive_seed(case_id, editor, "re-roll")
    return seed if seed != own else derive_seed(case_id, editor, "re-roll", own)


def seed_file_path(dataset: Dataset, model_name: str, preset: str) -> Path:
    """Return where the record of a search is kept."""
    return dataset.path / "seeds" / f"{model_name.replace('/', '--')}-{preset}.json"


def read_seed_file(path: Path) -> SeedFile | None:
    """Read the record of a search; None if there is none.

    Raises:
        DatasetError: If it is damaged.
    """
    if not path.is_file():
        return None
    try:
        return SeedFile.model_validate(parse_json(read_text(path)))
    except (UnreadableFileError, ValueError, ValidationError) as error:
        raise DatasetError(f"{path} is no record of a seed search ({error}). Remove it and search again.") from error


def choose_seeds(dataset: Dataset, model: ModelIdentity, preset: str, editor: str, settings: EditSettings) -> EditSeeds:
    """Return the seeds to edit with: those found by a search under the same conditions, else the metadata's.

    Raises:
        DatasetError: If the record of the search is damaged.
    """
    found = read_seed_file(seed_file_path(dataset, model.name, preset))
    if found is None:
        return EditSeeds(origin="the dataset's fallback seeds (no seed search is recorded)", chosen={})
    same = (found.weights_sha256, found.dataset_sha256) == (model.weights_sha256, dataset.sha256)
    # Which pixels the kept region shows has no part in how an edit is drawn.
    conditions = settings.model_dump(mode="json", exclude={"composite"})
    if not same or editor not in found.seeds or found.settings.get(editor) != conditions:
        return EditSeeds(
            origin="the dataset's fallback seeds (the recorded seed search was for other weights, images or settings)",
            chosen={},
        )
    chosen = {case_id: entry.seed for case_id, entry in found.seeds[editor].items()}
    return EditSeeds(origin=f"the best of {found.candidates} seeds per case (paper, A.1)", chosen=chosen)
