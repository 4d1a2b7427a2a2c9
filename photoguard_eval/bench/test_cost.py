"""What protection costs: timings by pytest-benchmark, gradient evaluations and memory.

Timings need a model in memory, so they are taken when the run computed something anyway, or when only benchmarks are
asked for (`--benchmark-only`).
"""

from typing import Any

import pytest

from photoguard_eval.app.bench_run import BenchRun
from photoguard_eval.attacks.harness import immunize
from photoguard_eval.diffusion import CostMeter, LatentDiffusion
from photoguard_eval.pipeline.execution import attack_batch
from photoguard_eval.randomness import CaseGenerators


@pytest.fixture(scope="module")
def model(bench_run: BenchRun, request: pytest.FixtureRequest) -> LatentDiffusion:
    """The model of the run."""
    if not (bench_run.computed or request.config.getoption("--benchmark-only")):
        pytest.skip("every cell came from the store; time the calls with --benchmark-only")
    return bench_run.plan.request.load_model()


def test_edit(benchmark: Any, bench_run: BenchRun, model: LatentDiffusion, editor: str) -> None:
    """Time one edit."""
    planned = bench_run.plan.editors[editor]
    cell = bench_run.plan.original(editor).edits[0]
    image, mask = cell.case.image().to(model.device), cell.case.mask().to(model.device)
    edited = benchmark.pedantic(
        planned.plugin.instance.edit,
        args=(model, image, mask, (cell.case.prompt,), (cell.seed,), planned.settings),
        kwargs={"originals": image},
        rounds=2,
    )
    assert edited.shape == image.shape


def test_immunize(benchmark: Any, bench_run: BenchRun, model: LatentDiffusion, attack: str, editor: str) -> None:
    """Time the immunization of one image, and record its gradient evaluations and memory."""
    method = next(method for method in bench_run.plan.methods if (method.label, method.editor) == (attack, editor))
    plugin = next(plugin for plugin in bench_run.attacks if plugin.label == attack)
    cell, instance = method.immunize[0], plugin.instance
    request = bench_run.plan.request
    batch = attack_batch(model, [cell], bench_run.plan.editors[editor], request.batch_size)
    meter = CostMeter(model)
    (finished,) = benchmark.pedantic(
        lambda: immunize(instance, model, batch, CaseGenerators.from_seeds([cell.seed]), meter, plugin.declared),
        rounds=1,
    )
    benchmark.extra_info.update(meter.cost(1))
    budget = plugin.declared.within(batch.budget).budget
    assert budget.size(finished.perturbation) <= budget.levels + 1e-3


def test_gradient_evaluations_are_counted(bench_run: BenchRun, attack: str, editor: str) -> None:
    """A row on the board shows as many gradient evaluations as its attack says that it takes.

    In float16 a gradient that overflows is taken again at a smaller scale of the loss; these are counted too.
    """
    method = bench_run.row(attack, editor)
    declared = next(plugin.instance.gradient_evaluations for plugin in bench_run.attacks if plugin.label == attack)
    if method is None or method.cost is None or not declared:
        pytest.skip("not an attack of a known number of gradients")
    counted = method.cost.gradient_evaluations
    assert counted >= declared if bench_run.plan.request.dtype == "float16" else counted == pytest.approx(declared)
