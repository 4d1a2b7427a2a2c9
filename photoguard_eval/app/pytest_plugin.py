"""The pytest plug-in behind `bench/`: options, the evaluation as a fixture, and the leaderboard after the run.

The suite is parametrised over what the options choose, before any model is loaded. The evaluation runs once, when
the first test asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pytest

from photoguard_eval.analysis.claims import SIMILARITY_TABLES, claim_id
from photoguard_eval.analysis.gate import bless, check
from photoguard_eval.app.pytest_options import add_options, option
from photoguard_eval.attacks import Attack
from photoguard_eval.errors import PhotoguardError, UnfinishedError, message_of
from photoguard_eval.files import locked, named_in_errors, require_writable
from photoguard_eval.metrics import METRICS
from photoguard_eval.pipeline.execution import OnFailure
from photoguard_eval.pipeline.plan import EvaluationRequest, Plan, build_plan
from photoguard_eval.pipeline.presets import DEFAULT_ATTACKS, parse_settings
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.workers import evaluate
from photoguard_eval.plugins.registry import Plugin
from photoguard_eval.results.outcomes import ClaimOutcome, GateReport, ThresholdOutcome
from photoguard_eval.results.schema import EvaluationResult
from photoguard_eval.surroundings import provide_home, spell_out_what_is_lacking


@dataclass
class BenchRun:
    """One run of the suite: the plan at collection, the evaluation when it is first needed.

    Attributes:
        config: pytest's configuration.
        blessed: What to tell of what `--bless` recorded, line by line.
        computed: How many cells were computed rather than read from the store.
        refused: Why the options describe no evaluation.
        finished: Whether evaluation and gate are done.
        finished_elsewhere: Whether another process of this session did them.
        refused_elsewhere: What another process of this session was refused, as a sentence.
    """

    config: pytest.Config
    blessed: tuple[str, ...] = ()
    computed: int = 0
    refused: PhotoguardError | None = None
    finished: bool = False
    finished_elsewhere: bool = False
    refused_elsewhere: str | None = None

    @cached_property
    def plan(self) -> Plan:
        """The plan that the options describe."""
        given = partial(option, self.config)
        return build_plan(
            EvaluationRequest(
                model=given("model") or "",
                dataset=given("dataset") or "",
                preset=given("preset"),
                attacks=tuple(given("attack") or DEFAULT_ATTACKS),
                device="cuda" if given("gpu") else "cpu",
                dtype=given("dtype"),
                batch_size=given("batch-size"),
                workers=given("workers"),
                vae_tiling=given("vae-tiling"),
                cpu_offload=given("cpu-offload"),
                compiled=given("compile"),
                settings=parse_settings(given("setting")),
            )
        )

    @property
    def attacks(self) -> tuple[Plugin[Attack], ...]:
        """The attacks of the plan; none if the options are refused."""
        return self.plan.attacks if self._is_planned() else ()

    @property
    def editors(self) -> tuple[str, ...]:
        """The names of the plan's editors; none if the options are refused."""
        return tuple(self.plan.editors) if self._is_planned() else ()

    def _is_planned(self) -> bool:
        if self.refused is None:
            try:
                with named_in_errors():
                    self.plan  # noqa: B018
            except PhotoguardError as error:
                self.refused = error
        return self.refused is None

    @cached_property
    def store(self) -> Store:
        """The artifact store."""
        return Store(option(self.config, "store"))

    @cached_property
    def result(self) -> EvaluationResult:
        """The result of the evaluation; computes what the store lacks, where no other process of the session has."""
        if self.finished_elsewhere:
            found = self.store.result(self.plan.id)
            if found is not None:
                return found
        on_failure = OnFailure(option(self.config, "fail-fast"), option(self.config, "debug"))
        with self._uncaptured():
            # Within, so that progress goes to the real standard error.
            result, self.computed = evaluate(self.plan, self.store, Progress(), on_failure)
        return result

    @cached_property
    def gate(self) -> GateReport:
        """What the gate found, after `--bless` if that was asked for."""
        path = option(self.config, "baseline")
        if option(self.config, "bless") and not self.finished_elsewhere:
            blessing = bless(self.result, path)
            self.blessed, path = blessing.lines, blessing.path
        return check(self.result, path)

    def finish(self) -> None:
        """Evaluate and compare with the baseline; of several processes of a session, one does it and the others wait.

        Raises:
            PhotoguardError: If the evaluation cannot be run, or its results not be written.
        """
        with named_in_errors():
            self.plan  # noqa: B018
            require_writable(option(self.config, "reports"), "--reports")
            session = xdist_session(self.config)
            if session is None:
                self.gate  # noqa: B018
            else:
                with locked(self.store.path / "session.lock") as file:
                    self.finished_elsewhere = file.read() == session
                    self.gate  # noqa: B018
                    file.truncate(0)
                    file.write(session)
        self.finished = True

    def _uncaptured(self) -> AbstractContextManager[None]:
        capture = self.config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture else nullcontext()


RUN = pytest.StashKey[BenchRun]()

WORKER = "photoguard-eval"
"""Under this name a worker of pytest-xdist tells the controller how its run ended."""


def xdist_session(config: pytest.Config) -> str | None:
    """Return what identifies a session of pytest-xdist, in one of its workers; None elsewhere."""
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    return None if worker is None else worker["testrunuid"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the benchmark suite."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the run, and refuse `--gpu` where there is no GPU, before anything is collected."""
    config.stash[RUN] = BenchRun(config)
    provide_home()
    if option(config, "gpu"):
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
        metafunc.parametrize("attack", [attack.label for attack in run.attacks])
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


@dataclass(frozen=True)
class Claims:
    """Asserts the paper's claims."""

    outcomes: dict[str, ClaimOutcome]

    def require(self, claim: str, metric: str, editor: str) -> None:
        """Assert a claim about a metric under an editor.

        A claim that held in the baseline and no longer does fails, and so does one that the paper's own setting
        contradicts. Another that never held is expected to fail, so it is counted neither as passed nor hidden.
        """
        outcome = self.outcomes.get(claim_id(claim, metric, editor))
        if outcome is None:
            pytest.skip("the run lacks the attacks that this claim compares, at one budget")
        error = "" if outcome.standard_error is None else f" ± {outcome.standard_error:.4f} (standard error)"
        measured = f"{outcome.statement}: {metric} under {editor}: margin {outcome.margin:+.4f}{error}"
        if outcome.verdict == "not reproduced":
            pytest.xfail(f"not reproduced: {measured}")
        if outcome.verdict == "lost":
            pytest.fail(f"It held in the baseline and no longer does. {measured}", pytrace=False)
        if outcome.verdict == "refuted":
            pytest.fail(f"This is the paper's own setting, and it does not hold. {measured}", pytrace=False)


@pytest.fixture(scope="session")
def claims(bench_run: BenchRun) -> Claims:
    """The paper's claims as measured."""
    return Claims({outcome.id: outcome for outcome in bench_run.gate.claims})


@dataclass(frozen=True)
class Thresholds:
    """Asserts that measured means stay within the baseline's tolerance."""

    gate: GateReport

    def require(self, attack: str, editor: str, names: Callable[[str], bool]) -> None:
        """Assert the thresholds of an attack's row.

        Args:
            attack: The attack's label, or "original".
            editor: The editor.
            names: Tells which metrics to check.
        """
        stopped = [failure for failure in self.gate.failures if failure.attack == attack]
        if stopped:
            pytest.fail(f"{attack} was stopped: {stopped[0].error}", pytrace=False)
        outcomes = [
            outcome
            for outcome in self.gate.thresholds
            if (outcome.attack, outcome.editor) == (attack, editor) and names(outcome.metric)
        ]
        if not outcomes:
            pytest.skip(f"no baseline for {attack} under {editor}; record one with --bless")
        failed = [_describe(outcome) for outcome in outcomes if not outcome.passed]
        if failed:
            pytest.fail("\n".join(failed), pytrace=False)


def _describe(outcome: ThresholdOutcome) -> str:
    worse = {"above": "rose", "below": "fell", "either": "moved"}[outcome.side]
    return (
        f"{outcome.metric} of {outcome.attack} under {outcome.editor} {worse}: baseline {outcome.baseline:.4f}, "
        f"measured {outcome.measured:.4f}, tolerance {outcome.tolerance:.4f} ({outcome.reason})"
        f"{'; ' if outcome.cases else ''}{outcome.cases_text}"
    )


@pytest.fixture(scope="session")
def thresholds(bench_run: BenchRun) -> Thresholds:
    """The thresholds of the baseline."""
    return Thresholds(bench_run.gate)


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
            paths = write_reports(run.result, run.gate, option(run.config, "reports"), images, paper_rows=paper_rows)
    except PhotoguardError as error:
        terminalreporter.write_line(f"ERROR: {error}", red=True)
    else:
        terminalreporter.write_line(f"Leaderboard: {paths.html.resolve()}")
