"""The pytest plug-in behind `bench/`: options, the evaluation as a fixture, and the leaderboard after the run.

The suite is parametrised over what the options choose, before any model is loaded. The evaluation runs once, when
the first test asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from photoguard_eval.attacks import Attack
from photoguard_eval.cli import DEFAULT_REPORTS, DEFAULT_STORE
from photoguard_eval.errors import PhotoguardError
from photoguard_eval.evaluation.claims import SIMILARITY_TABLES, claim_id
from photoguard_eval.evaluation.gate import Blessing, bless, check
from photoguard_eval.evaluation.plan import (
    DEFAULT_PRESET,
    EvaluationRequest,
    Plan,
    build_plan,
)
from photoguard_eval.evaluation.presets import DEFAULT_ATTACKS, parse_settings
from photoguard_eval.evaluation.progress import Progress
from photoguard_eval.evaluation.results import ClaimOutcome, EvaluationResult, GateReport, ThresholdOutcome
from photoguard_eval.evaluation.store import Store
from photoguard_eval.evaluation.workers import evaluate
from photoguard_eval.metrics import METRICS
from photoguard_eval.registry import Plugin


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the benchmark suite."""
    group = parser.getgroup("photoguard-eval", "benchmark of image immunization (bench/)")
    group.addoption("--gpu", action="store_true", help="run on the GPU")
    group.addoption("--model", help="embedded checkpoint, diffusers folder, safetensors file or hub id")
    group.addoption("--dataset", help="name or folder of the dataset")
    group.addoption("--preset", default=DEFAULT_PRESET, help="smoke, ci or paper")
    group.addoption(
        "--attack",
        action="append",
        default=None,
        metavar="SPEC",
        help="an attack: a name with arguments (encoder,target=zero), module:Class, file.py:Class or a folder of "
        "finished images; repeat it for several",
    )
    group.addoption("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    group.addoption("--batch-size", type=int, default=12, metavar="N", help="images at once at most")
    group.addoption(
        "--workers",
        type=int,
        metavar="N",
        help="processes that share the work (default: one on a processor, one for each visible GPU)",
    )
    group.addoption("--vae-tiling", action="store_true", help="pass large images through the autoencoder in tiles")
    group.addoption("--cpu-offload", action="store_true", help="keep the text encoders on the processor")
    group.addoption("--compile", action="store_true", help="compile the networks with torch.compile")
    group.addoption(
        "--setting",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the edits other than the preset's; repeat it for several",
    )
    group.addoption("--store", type=Path, default=DEFAULT_STORE, help="folder of the artifacts")
    group.addoption(
        "--baseline",
        type=Path,
        default=None,
        help="the baseline (default: your own below ./baselines, else the one that the package carries)",
    )
    group.addoption(
        "--bless", action="store_true", help="record the results as the new baseline, and say where (see --baseline)"
    )


@dataclass
class BenchRun:
    """One run of the suite: the plan at collection, the evaluation when it is first needed.

    Attributes:
        config: pytest's configuration.
        blessing: What `--bless` recorded.
        computed: How many cells were computed rather than read from the store.
        refused: Why the options describe no evaluation.
        finished: Whether evaluation and gate are done.
    """

    config: pytest.Config
    blessing: Blessing | None = None
    computed: int = 0
    refused: PhotoguardError | None = None
    finished: bool = False

    @cached_property
    def plan(self) -> Plan:
        """The plan that the options describe."""
        option = self.config.getoption
        return build_plan(
            EvaluationRequest(
                model=option("--model") or "",
                dataset=option("--dataset") or "",
                preset=option("--preset"),
                attacks=tuple(option("--attack") or DEFAULT_ATTACKS),
                device="cuda" if option("--gpu") else "cpu",
                dtype=option("--dtype"),
                batch_size=option("--batch-size"),
                workers=option("--workers"),
                vae_tiling=option("--vae-tiling"),
                cpu_offload=option("--cpu-offload"),
                compiled=option("--compile"),
                settings=parse_settings(option("--setting")),
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
                self.plan  # noqa: B018
            except PhotoguardError as error:
                self.refused = error
        return self.refused is None

    @cached_property
    def store(self) -> Store:
        """The artifact store."""
        return Store(self.config.getoption("--store"))

    @cached_property
    def result(self) -> EvaluationResult:
        """The result of the evaluation; computes what the store lacks."""
        with self._uncaptured():
            # Within, so that progress goes to the real standard error.
            result, self.computed = evaluate(self.plan, self.store, Progress())
        return result

    @cached_property
    def gate(self) -> GateReport:
        """What the gate found, after `--bless` if that was asked for."""
        path = self.config.getoption("--baseline")
        if self.config.getoption("--bless"):
            self.blessing = bless(self.result, path)
            path = self.blessing.path
        return check(self.result, path)

    def _uncaptured(self) -> Any:
        capture = self.config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled()


RUN = pytest.StashKey[BenchRun]()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse `--gpu` where there is none, before anything is collected."""
    config.stash[RUN] = BenchRun(config)
    if config.getoption("--gpu"):
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


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """End the session with one message if the options describe no evaluation."""
    refused = config.stash[RUN].refused
    if refused is not None:
        raise pytest.UsageError(str(refused))


@pytest.fixture(scope="session")
def bench_run(request: pytest.FixtureRequest) -> BenchRun:
    """The run, with the evaluation and the gate done."""
    run = request.config.stash[RUN]
    try:
        run.gate  # noqa: B018
    except PhotoguardError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    run.finished = True
    return run


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
    if not run.finished:
        return
    from photoguard_eval.reports import StoreImages, terminal_report, terminal_width, write_reports

    images, paper_rows = StoreImages(run.plan.dataset.path, run.store.image), not run.plan.embedded_model
    paths = write_reports(run.result, run.gate, DEFAULT_REPORTS, images, paper_rows=paper_rows)
    terminalreporter.section("leaderboard")
    report = terminal_report(
        run.result, run.gate, paper_rows=paper_rows, bold=sys.stdout.isatty(), width=terminal_width()
    )
    terminalreporter.write_line(report)
    for line in run.blessing.lines if run.blessing else ():
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"Leaderboard: {paths.html.resolve()}")
