import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from photoguard_eval import resources
from photoguard_eval.errors import ConfigurationError, DatasetError
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.seed_search import search_seeds, write_seeds
from photoguard_eval.pipeline.seeds import seed_file_path
from photoguard_eval.pipeline.store import Store


@pytest.fixture
def request_(make_request, small_dataset, tmp_path):
    return make_request(dataset=str(shutil.copytree(small_dataset, tmp_path / "small")))


def seeds(plan, editor):
    return {cell.case.id: cell.seed for cell in plan.original(editor).edits}


def test_found_seeds_are_used_by_every_attack(request_, tmp_path):
    plan = build_plan(request_)
    assert "fallback" in plan.editors["inpaint"].seeds.origin
    found = search_seeds(plan, Store(tmp_path / "store"), Progress(quiet=True), 3, "test")
    path = write_seeds(plan, found, None)
    assert path == seed_file_path(plan.dataset, "inpaint-a", "smoke")
    after = build_plan(request_)
    for editor in ("inpaint", "img2img"):
        wanted = {case: entry.seed for case, entry in found.seeds[editor].items()}
        assert seeds(after, editor) == wanted
        assert all(0 <= seed < 3 for seed in wanted.values())
        for method in after.attack_rows:
            if method.editor == editor:
                assert {cell.case.id: cell.seed for cell in method.edits} == wanted
    assert "best of 3 seeds" in after.editors["inpaint"].seeds.origin
    # The search is over the original's edits, so choosing again among the same seeds computes nothing.
    again = search_seeds(after, Store(tmp_path / "store"), Progress(quiet=True), 3, "test")
    assert again.seeds == found.seeds


def test_seeds_of_other_conditions_are_not_used(request_, tmp_path):
    plan = build_plan(request_)
    found = search_seeds(plan, Store(tmp_path / "store"), Progress(quiet=True), 2, "test")
    write_seeds(plan, found.model_copy(update={"weights_sha256": "0" * 64}), None)
    origin = build_plan(request_).editors["inpaint"].seeds.origin
    assert "for other weights, images or settings" in origin


def test_a_damaged_record_is_an_error(request_):
    plan = build_plan(request_)
    path = seed_file_path(plan.dataset, "inpaint-a", "smoke")
    path.parent.mkdir()
    path.write_text("{}")
    with pytest.raises(DatasetError, match="Remove it and search again"):
        build_plan(request_)


def test_one_candidate_is_no_search(request_, tmp_path):
    with pytest.raises(ConfigurationError, match="give at least 2"):
        search_seeds(build_plan(request_), Store(tmp_path / "store"), Progress(quiet=True), 1, "test")


def test_a_single_image_is_refused_before_any_edit(request_, tmp_path):
    metadata = Path(request_.dataset) / "metadata.jsonl"
    metadata.write_text(metadata.read_text().splitlines()[0] + "\n")
    with pytest.raises(
        ConfigurationError, match="small has a single image, and the search scores edits by their realism"
    ):
        search_seeds(build_plan(request_), Store(tmp_path / "store"), Progress(quiet=True), 2, "test")
    assert not list((tmp_path / "store").rglob("*.png"))


def test_quality_is_judged_without_reference_where_the_clip_knows_photographs(request_, tmp_path):
    def search(clip):
        plan = build_plan(replace(request_, clip=clip))
        return search_seeds(plan, Store(tmp_path / "store"), Progress(quiet=True), 2, "test")

    other = shutil.copytree(resources.embedded_clip(), tmp_path / "other")
    assert search("embedded").quality_score.startswith("realism")
    found = search(str(other))
    assert found.quality_score.startswith("CLIP-IQA")
    assert all(0 <= entry.quality <= 1 for cases in found.seeds.values() for entry in cases.values())
