"""The budget: what is saved differs from the original by no more than the threat model allows."""

import pytest

from photoguard_eval.app.assertions import Thresholds, is_of_immunized_images
from photoguard_eval.app.bench_run import BenchRun
from photoguard_eval.attacks.norms import NORMS

LEVELS = 255


def test_saved_files_keep_the_budget(bench_run: BenchRun, attack: str, editor: str) -> None:
    """Every immunized file lies within its attack's budget, as measured on the decoded file."""
    stopped = bench_run.why_stopped(attack, editor)
    if stopped is not None:
        pytest.fail(stopped, pytrace=False)
    row = bench_run.row(attack, editor)
    assert row is not None, f"the result has no row of {attack} under {editor}"
    assert row.attack is not None
    threat_model = row.attack.threat_model
    allowed = threat_model.epsilon * LEVELS + 1e-3
    norm = NORMS[threat_model.norm]
    over = {case.case_id: size for case in row.cases if (size := norm.size(case)) > allowed}
    assert not over, f"{attack} exceeds {allowed:.3f} levels: {over}"


def test_perturbation_is_as_invisible_as_recorded(thresholds: Thresholds, attack: str, editor: str) -> None:
    """No immunized image is further from its original than when the baseline was recorded."""
    thresholds.require(attack, editor, is_of_immunized_images)
