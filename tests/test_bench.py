"""`pytest bench/` as a user runs it: over a finished store, so that each run takes a few seconds."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from photoguard_eval.evaluation.claims import evaluate_claims
from photoguard_eval.evaluation.gate import bless
from photoguard_eval.pytest_plugin import Claims
from tests.conftest import QUICK_ATTACKS
from tests.reports.example import claim

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def bench(finished, small_dataset, tmp_path):
    """Return a function that runs the suite over a copy of the finished store."""
    store = shutil.copytree(finished[0], tmp_path / "store")

    def run(*options, attacks=QUICK_ATTACKS):
        command = [sys.executable, "-m", "pytest", "bench/", "--preset", "smoke", "--dataset", small_dataset]
        command += ["--store", store, *[part for attack in attacks for part in ("--attack", attack)], *options]
        return subprocess.run([*command, "-p", "no:cacheprovider"], capture_output=True, text=True, cwd=ROOT)

    return run


@pytest.fixture
def baseline(finished, tmp_path):
    path = tmp_path / "baseline.json"
    bless(finished[1], path)
    return path


def test_the_suite_passes_against_its_baseline_and_ends_with_the_board(bench, baseline):
    done = bench("--baseline", baseline)
    assert done.returncode == 0, done.stdout
    assert "The gate passes" in done.stdout
    page = re.search(r"^Leaderboard: (.+)$", done.stdout, re.MULTILINE).group(1)
    assert Path(page).is_file()
    assert re.search(r"\d+ passed, \d+ skipped, \d+ xfailed", done.stdout), "claims that do not hold are not passed"


def test_a_regression_fails_with_metric_baseline_measured_and_tolerance(bench, baseline):
    data = json.loads(baseline.read_text())
    for entry in data["thresholds"]:
        if (entry["attack"], entry["editor"], entry["metric"]) == ("encoder,steps=4", "inpaint", "psnr"):
            entry["value"], entry["scores"] = 10.0, [10.0] * 3
    baseline.write_text(json.dumps(data))
    done = bench("--baseline", baseline)
    assert done.returncode == 1
    assert re.search(
        r"psnr of encoder,steps=4 under inpaint rose: baseline 10\.0000, measured \d+\.\d+, tolerance \d"
        r".*; 3 of 3 cases by more, most \S+ \(\+\d+\.\d+\)",
        done.stdout,
    )
    assert "FAILED bench/test_edit_similarity.py::test_protection_is_kept[encoder,steps=4]" in done.stdout


def test_a_lost_claim_fails_by_name(bench, baseline, finished):
    # All of so few edits are within reach of one another, so that no attack has a lower precision than noise.
    claims = [claim for claim in evaluate_claims(finished[1]) if claim.metric == "precision"]
    assert not any(claim.holds for claim in claims)
    data = json.loads(baseline.read_text())
    data["claims"] = {claim.id: True for claim in claims}
    baseline.write_text(json.dumps(data))
    done = bench("--baseline", baseline, attacks=("noise", "encoder"))
    assert done.returncode == 1
    assert "It held in the baseline and no longer does" in done.stdout
    assert re.search(r"FAILED bench/.*precision", done.stdout)
    # Attacks with other arguments than the preset's say nothing of it.
    assert bench("--baseline", baseline).returncode == 0


def test_a_refuted_claim_fails_and_one_that_never_held_is_expected_to():
    outcome = claim("a-beats-b", "ssim", "inpaint", -0.2)
    refuted = Claims({outcome.id: outcome.model_copy(update={"required": True})})
    with pytest.raises(pytest.fail.Exception, match=r"the paper's own setting, and it does not hold.*margin -0\.2000"):
        refuted.require("a-beats-b", "ssim", "inpaint")
    with pytest.raises(pytest.xfail.Exception, match="not reproduced"):
        Claims({outcome.id: outcome}).require("a-beats-b", "ssim", "inpaint")


def test_a_baseline_that_lacks_a_metric_stops_with_one_message(bench, baseline):
    data = json.loads(baseline.read_text())
    data["thresholds"] = [entry for entry in data["thresholds"] if entry["metric"] != "vsi"]
    baseline.write_text(json.dumps(data))
    done = bench("--baseline", baseline)
    assert done.returncode == 4
    assert "no value of the metric 'vsi'" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_bless_records_and_shows_the_difference(bench, tmp_path):
    path = tmp_path / "new" / "baseline.json"
    done = bench("--baseline", path, "--bless")
    assert done.returncode == 0, done.stdout
    assert re.search(rf"Blessed: \d+ values changed in {path}\.", done.stdout)
    assert "noise / inpaint / ssim: none →" in done.stdout
    assert json.loads(path.read_text())["conditions"]["preset"] == "smoke"


def test_an_attack_over_its_budget_fails_its_own_tests_alone(bench, baseline, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from photoguard_eval import Attack\nclass Bad(Attack):\n    name = 'bad'\n"
        "    def perturb(self, model, batch, generator):\n        return (batch.images - 0.3).clamp(0, 1)\n"
    )
    done = bench("--baseline", baseline, "-k", "not cost", attacks=(*QUICK_ATTACKS, f"{tmp_path / 'bad.py'}:Bad"))
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed
    assert all("bad" in line for line in failed)
    assert "over the budget of 16.000" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "papr"], "Did you mean 'paper'"),
        (["--attack", "encodr"], "Did you mean 'encoder'"),
        (["--model", "inpaint-z"], "Did you mean 'inpaint-b' or 'inpaint-a'?"),
        (["--dataset", "nowhere"], "Unknown dataset 'nowhere'"),
        (["--setting", "steps=4"], "steps='4' is no setting of an edit"),
        (["--setting", "eta"], "expected NAME=VALUE with one of guidance_scale"),
    ],
)
def test_bad_options_end_the_session_with_one_message(bench, options, message):
    done = bench(*options)
    assert done.returncode == 4
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_gpu_without_cuda_is_an_error_not_a_skip(bench):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = bench("--gpu")
    assert done.returncode == 4
    assert "--gpu needs a CUDA device" in done.stderr + done.stdout
