"""What protection costs: timings by pytest-benchmark, gradient evaluations and memory.

Timings need a model in memory, so they are taken when the run computed something anyway, or when only benchmarks are
asked for (`--benchmark-only`).
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from photoguard_eval.app.bench_run import BenchRun
from photoguard_eval.images.arrays import decode_png
from photoguard_eval.pipeline.artifacts import ImmunizedFacts
from photoguard_eval.pipeline.steps import edit, immunize
from photoguard_eval.pipeline.work import Finished
from photoguard_eval.pipeline.worker import Worker


@pytest.fixture(scope="module")
def worker(bench_run: BenchRun, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """Whoever computes."""
    if not (bench_run.computed or request.config.getoption("--benchmark-only")):
        pytest.skip("every image came from the store; time the calls with --benchmark-only")
    with closing(Worker(bench_run.plan.session)) as worker:
        yield worker


def test_edit(benchmark: Any, bench_run: BenchRun, worker: Worker, editor: str) -> None:
    """Time one edit."""
    work = edit.gather([bench_run.plan.original(editor).edits[0].inputs])
    finished = benchmark.pedantic(worker.perform, args=(work,), rounds=2)
    assert isinstance(finished, Finished), finished
    assert decode_png(finished.artifacts[0].png).shape == work.images.shape


def test_immunize(benchmark: Any, bench_run: BenchRun, worker: Worker, attack: str, editor: str) -> None:
    """Time the immunization of one image, and record its gradient evaluations and memory."""
    row = bench_run.planned(attack, editor)
    work = immunize.gather([row.immunize[0].inputs], bench_run.plan.request.batch_size)
    finished = benchmark.pedantic(worker.perform, args=(work,), rounds=1)
    assert isinstance(finished, Finished), finished
    measured = ImmunizedFacts.model_validate(finished.artifacts[0].facts)
    benchmark.extra_info.update(measured.cost.model_dump(exclude={"batch_size"}))
    budget = row.immunize[0].inputs.threat_model.budget
    assert budget.size(measured) <= budget.levels + 1e-3


def test_gradient_evaluations_are_counted(bench_run: BenchRun, attack: str, editor: str) -> None:
    """A row on the board shows as many gradient evaluations as its attack says that it takes.

    In float16 a gradient that overflows is taken again at a smaller scale of the loss; these are counted too.
    """
    row = bench_run.row(attack, editor)
    plugin = bench_run.planned(attack, editor).attack
    declared = plugin.instance.gradient_evaluations if plugin else None
    if row is None or row.cost is None or not declared:
        pytest.skip("not an attack of a known number of gradients")
    counted = row.cost.gradient_evaluations
    assert counted >= declared if bench_run.plan.request.dtype == "float16" else counted == pytest.approx(declared)
