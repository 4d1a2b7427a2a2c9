from __future__ import annotations

import pytest

from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.schema import EvaluationResult
from tests.reports.example import ExampleImages, make_gate, make_result


@pytest.fixture(scope="session")
def result() -> EvaluationResult:
    return make_result()


@pytest.fixture(scope="session")
def gate() -> GateReport:
    return make_gate()


@pytest.fixture
def images() -> ExampleImages:
    return ExampleImages()
