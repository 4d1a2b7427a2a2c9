"""The budget: what is saved differs from the original by no more than the threat model allows."""

import pytest

from photoguard_eval.app.assertions import Thresholds
from photoguard_eval.results.schema import EvaluationResult

LEVELS = 255


def test_saved_files_keep_the_budget(result: EvaluationResult, attack: str, editor: str) -> None:
    """Every immunized file lies within its attack's budget, as measured on the decoded file."""
    failures = {failure.attack: failure.error for failure in result.failures}
    if attack in failures:
        pytest.fail(failures[attack], pytrace=False)
    method = result.method(attack, editor)
    assert method is not None, f"the result has no row of {attack} under {editor}"
    assert method.attack is not None
    threat_model = method.attack.threat_model
    allowed = threat_model.epsilon * LEVELS + 1e-3
    over = {
        case.case_id: size
        for case in method.cases
        if (size := case.linf_levels if threat_model.norm == "linf" else case.rms_levels) > allowed
    }
    assert not over, f"{attack} exceeds {allowed:.3f} levels: {over}"


def test_perturbation_is_as_invisible_as_recorded(thresholds: Thresholds, attack: str, editor: str) -> None:
    """No immunized image is further from its original than when the baseline was recorded."""
    thresholds.require(attack, editor, lambda metric: metric.startswith("immunized"))
