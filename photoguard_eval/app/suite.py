"""The pytest plug-in of a run of the suite: the evaluation as a fixture, and the leaderboard after the run.

The suite is parametrised over what the options choose, before any model is loaded. The evaluation runs once, when
the first test asks for it.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from photoguard_eval.analysis.claims import SIMILARITY_TABLES
from photoguard_eval.app.assertions import Claims, Thresholds
from photoguard_eval.app.bench_run import BenchRun, option, xdist_session
from photoguard_eval.app.options import GPU, REPORTS
from photoguard_eval.errors import PhotoguardError, UnfinishedError, message_of
from photoguard_eval.files import named_in_errors
from photoguard_eval.metrics import METRICS
from photoguard_eval.results.schema import EvaluationResult
from photoguard_eval.surroundings import provide_home, spell_out_what_is_lacking

RUN = pytest.StashKey[BenchRun]()

WORKER = "photoguard-eval"
"""Under this name a worker of pytest-xdist tells the controller how its run ended."""


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the run, and refuse `--gpu` where there is no GPU, before anything is collected."""
    config.stash[RUN] = BenchRun(config)
    provide_home()
    if option(config, GPU):
        from photoguard_eval.diffusion import require_device

        try:
            require_device("cuda")
        except PhotoguardError as error:
            raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise the suite over the attacks, editors and metrics of the run."""
    if "bench_run" not in metafunc.fixturenames:
        return
    run = metafunc.config.stash[RUN]
    if "attack" in metafunc.fixturenames:
        metafunc.parametrize("attack", run.attacks)
    if "editor" in metafunc.fixturenames:
        metafunc.parametrize("editor", run.editors)
    if "similarity_metric" in metafunc.fixturenames:
        tables = {name: metric.table for name, metric in METRICS.classes().items()}
        metafunc.parametrize(
            "similarity_metric", [name for name, table in tables.items() if table in SIMILARITY_TABLES]
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """End the session with one message if the options describe no evaluation."""
    refused = config.stash[RUN].refused
    if refused is None:
        return
    if xdist_session(config) is None:
        raise pytest.UsageError(str(refused))
    # Of a worker's error, pytest-xdist would make its own. The controller says it.
    items.clear()


@pytest.fixture(scope="session")
def bench_run(request: pytest.FixtureRequest) -> BenchRun:
    """The run, with the evaluation and the gate done."""
    run = request.config.stash[RUN]
    try:
        run.finish()
    except PhotoguardError as error:
        if xdist_session(request.config) is None:
            is_unfinished = isinstance(error, UnfinishedError)
            code = pytest.ExitCode.TESTS_FAILED if is_unfinished else pytest.ExitCode.USAGE_ERROR
            pytest.exit(message_of(error), returncode=code)
        run.refused = error
    if run.refused is not None:
        # A worker's test cannot end the session, as above: it fails, no other runs, and the controller says why.
        request.session.shouldstop = message_of(run.refused)
        pytest.fail(message_of(run.refused), pytrace=False)
    return run


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller of pytest-xdist how the run ended, or end as a worker's run did."""
    run = session.config.stash[RUN]
    if xdist_session(session.config) is not None:
        refused = run.refused and str(run.refused)
        session.config.workeroutput[WORKER] = {  # type: ignore[attr-defined]
            "finished": run.finished,
            "blessed": list(run.blessed),
            "refused": refused,
        }
    elif run.refused_elsewhere is not None:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Take from a worker of pytest-xdist how its run ended."""
    del error
    run = node.config.stash[RUN]
    told = getattr(node, "workeroutput", {}).get(WORKER)
    if told is not None:
        run.finished = run.finished_elsewhere = run.finished or told["finished"]
        run.blessed = run.blessed or tuple(told["blessed"])
        run.refused_elsewhere = run.refused_elsewhere or told["refused"]


@pytest.fixture(scope="session")
def result(bench_run: BenchRun) -> EvaluationResult:
    """The result of the evaluation."""
    return bench_run.result


@pytest.fixture(scope="session")
def claims(bench_run: BenchRun) -> Claims:
    """The paper's claims as measured."""
    return Claims({outcome.id: outcome for outcome in bench_run.gate.claims})


@pytest.fixture(scope="session")
def thresholds(bench_run: BenchRun) -> Thresholds:
    """The thresholds of the baseline."""
    return Thresholds(bench_run)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the leaderboard, what `--bless` changed, and where the page is."""
    run = config.stash[RUN]
    spell_out_what_is_lacking(sys.stdout)
    if run.refused_elsewhere is not None:
        terminalreporter.write_line(f"ERROR: {run.refused_elsewhere}", red=True)
    elif run.finished:
        _show_board(run, terminalreporter)


def _show_board(run: BenchRun, terminalreporter: pytest.TerminalReporter) -> None:
    from photoguard_eval.reports import StoreImages, terminal_report, terminal_width, write_reports

    images, paper_rows = StoreImages(run.plan.dataset.path, run.store.image), not run.plan.embedded_model
    terminalreporter.section("leaderboard")
    report = terminal_report(
        run.result, run.gate, paper_rows=paper_rows, bold=sys.stdout.isatty(), width=terminal_width()
    )
    terminalreporter.write_line(report)
    for line in run.blessed:
        terminalreporter.write_line(line)
    try:
        with named_in_errors():
            paths = write_reports(run.result, run.gate, option(run.config, REPORTS), images, paper_rows=paper_rows)
    except PhotoguardError as error:
        terminalreporter.write_line(f"ERROR: {error}", red=True)
    else:
        terminalreporter.write_line(f"Leaderboard: {paths.html.resolve()}")
