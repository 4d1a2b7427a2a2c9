"""`pytest bench/` as a user runs it: over a finished store, so that each run takes a few seconds."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from photoguard_eval.analysis.claims import evaluate_claims
from photoguard_eval.analysis.gate import bless
from photoguard_eval.app.assertions import Claims
from tests.conftest import QUICK_ATTACKS
from tests.reports.example import claim

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(finished, small_dataset, tmp_path):
    """Return a function that runs the suite over a copy of the finished store."""
    store = shutil.copytree(finished[0], tmp_path / "store")

    def run(*options, attacks=QUICK_ATTACKS, **environment):
        command = [sys.executable, "-m", "pytest", "bench/", "--preset", "smoke", "--dataset", small_dataset]
        command += [part for attack in attacks for part in ("--attack", attack)]
        if not any("reports" in str(option) for option in options):
            command += ["--reports", tmp_path / "reports"]
        if not any("store" in str(option) for option in options):
            command += ["--store", store]
        return subprocess.run(
            [*command, *options, "-p", "no:cacheprovider"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
        )

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


def test_each_budget_of_an_attack_is_held_to_its_own_thresholds(bench, tmp_path):
    attacks, baseline = ("noise", "noise,budget=8/255"), tmp_path / "of-two-budgets.json"
    assert bench("--bless", "--baseline", baseline, attacks=attacks).returncode == 0
    gated = {entry["attack"] for entry in json.loads(baseline.read_text())["thresholds"]}
    assert gated == {"original", "re-roll", "noise", "noise at 8/255"}
    done = bench("--baseline", baseline, "-rs", attacks=attacks)
    assert done.returncode == 0, done.stdout
    assert "no baseline for noise" not in done.stdout


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


@pytest.mark.slow
def test_processes_of_a_session_evaluate_once_and_end_with_one_board(bench, baseline, tmp_path):
    log = tmp_path / "log"
    (tmp_path / "counts.py").write_text(
        "from photoguard_eval.attacks import NoiseAttack\nclass Counts(NoiseAttack):\n    name = 'counts'\n"
        "    def perturb(self, model, batch, generator):\n"
        f"        print(batch.editor.name, file=open({str(log)!r}, 'a'))\n"
        "        return super().perturb(model, batch, generator)\n"
    )
    done = bench(
        "--baseline",
        baseline,
        "-n",
        "2",
        "-k",
        "not cost",
        attacks=(*QUICK_ATTACKS, f"{tmp_path / 'counts.py'}:Counts"),
    )
    assert done.returncode == 0, done.stdout
    assert sorted(log.read_text().split()) == ["img2img", "inpaint"]
    assert done.stdout.count("The gate passes") == 1
    page = re.search(r"^Leaderboard: (.+)$", done.stdout, re.MULTILINE).group(1)
    assert Path(page).parent == tmp_path / "reports"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "papr"], "ERROR: Unknown preset 'papr'"),
        (["--store", "{file}"], "ERROR: {file} cannot be read as the folder of a store"),
    ],
)
def test_what_a_process_of_a_session_is_refused_is_said_once_at_the_end(bench, tmp_path, options, message):
    (tmp_path / "file").write_text("mine")
    names = {"file": tmp_path / "file"}
    done = bench("-n", "2", *[option.format(**names) for option in options])
    assert done.returncode == 4, done.stdout
    assert done.stdout.count(message.format(**names)) == 1
    assert "INTERNALERROR" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_suite_runs_beside_other_plugins_without_capture_and_where_ascii_is_all_there_is(bench, tmp_path):
    (tmp_path / "other_plugin.py").write_text(
        "def pytest_addoption(parser):\n"
        "    parser.getgroup('other').addoption('--workers', default='7')\n"
        "    parser.addoption('--store', default='shop')\n"
    )
    options = ["-p", "other_plugin", "-p", "no:capture", "--photoguard-workers", "1"]
    done = bench(
        *options,
        "--photoguard-store",
        tmp_path / "store",
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"SSIM +[+x] [-+]0\.\d+ \+- 0\.\d+", done.stdout)
    assert f"Leaderboard: {tmp_path / 'reports'}" in done.stdout


def test_reports_that_cannot_be_written_are_refused_before_the_work(bench, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = bench("--reports", tmp_path / "file", "--store", tmp_path / "new")
    assert done.returncode == 4
    assert "file cannot be written" in done.stdout + done.stderr
    assert "Give another folder with --reports." in done.stdout + done.stderr
    assert not (tmp_path / "new").exists()
