"""A dataset of a single image, and of a single case: what needs more is left out, and nothing is said to be clear."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from photoguard_eval.analysis.baseline import make_baseline
from photoguard_eval.analysis.claims import evaluate_claims
from photoguard_eval.analysis.gate import check
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.store import Store
from photoguard_eval.reports import terminal_report
from tests.analysis.test_gate import in_the_paper_s_setting, with_preset_labels, with_shift
from tests.conftest import evaluate

OF_SETS = {"fid", "precision", "recall", "kid"}


@pytest.fixture(scope="module")
def few(finished, small_dataset, make_request, tmp_path_factory):
    """Return a function that evaluates some prompts of the first image; their edits are in the store already."""
    folder = tmp_path_factory.mktemp("few")

    def run(prompts):
        dataset = folder / f"{prompts}"
        store = folder / f"store-{prompts}"
        if not dataset.exists():
            shutil.copytree(small_dataset, dataset)
            shutil.copytree(finished[0], store)
            row = json.loads((dataset / "metadata.jsonl").read_text().splitlines()[0])
            row["prompts"], row["seeds"] = row["prompts"][:prompts], row["seeds"][:prompts]
            (dataset / "metadata.jsonl").write_text(json.dumps(row) + "\n")
        return with_preset_labels(evaluate(make_request(dataset=str(dataset)), store)[1])

    return run


def unwrapped(text):
    return " ".join(text.split())


def test_a_single_case_has_a_report(few):
    result = few(1)
    assert len(result.attack_rows) == 6
    assert not OF_SETS & {metric.name for metric in result.metrics}
    assert all(not OF_SETS & set(method.metrics) for method in result.attack_rows)
    text = terminal_report(result, check(result))
    assert (
        "FID, Precision, Recall, KID: left out, since a set of one edit is too small to be compared by it."
        in unwrapped(text)
    )
    assert not re.search(r"± \d", text)


@pytest.mark.parametrize("prompts", [1, 2])
def test_of_a_single_image_no_claim_is_clear(few, prompts):
    result = few(prompts)
    claims = evaluate_claims(result)
    assert {claim.standard_error for claim in claims} == {claim.uncertainty for claim in claims} == {None}
    assert any(claim.holds for claim in claims)
    assert not any(make_baseline(result).claims.values())
    assert ("fid" in {claim.metric for claim in claims}) == (prompts == 2)
    moved = with_shift(in_the_paper_s_setting(result), "encoder", "ssim", 0.5)
    verdicts = {claim.id: claim.verdict for claim in evaluate_claims(moved)}
    assert verdicts["encoder-beats-noise/ssim/inpaint"] == "not reproduced"


def test_a_batch_of_one_case_has_no_set_metric(finished, make_request):
    """As in the measurement for a forecast, which cuts every row to one batch."""
    plan = build_plan(make_request())
    scorer = Scorer(plan, Store.existing(finished[0]))
    for score in scorer.scores:
        method = replace(plan.attack_rows[0], edits=plan.attack_rows[0].edits[:1])
        assert scorer.set_score(method, score) is None
