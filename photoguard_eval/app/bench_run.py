"""One run of the suite: its plan, its evaluation and its gate."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pytest

from photoguard_eval.analysis.gate import bless, check
from photoguard_eval.analysis.rows import row_name
from photoguard_eval.app.face import run_plan
from photoguard_eval.app.options import (
    BASELINE,
    BLESS,
    DEBUG,
    FAIL_FAST,
    QUIET,
    REPORTS,
    STORE,
    Option,
    request_of,
)
from photoguard_eval.app.pytest_plugin import destination
from photoguard_eval.errors import PhotoguardError
from photoguard_eval.files import locked, named_in_errors, require_writable
from photoguard_eval.pipeline.driver import OnFailure
from photoguard_eval.pipeline.plan import Plan, build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.rows import Row
from photoguard_eval.pipeline.store import Store
from photoguard_eval.results.outcomes import GateReport
from photoguard_eval.results.rows import ResultRow
from photoguard_eval.results.schema import EvaluationResult


def option(config: pytest.Config, chosen: Option) -> Any:
    """Return the value of one of the suite's options."""
    return config.getoption(destination(chosen))


def xdist_session(config: pytest.Config) -> str | None:
    """Return what identifies a session of pytest-xdist, in one of its workers; None elsewhere."""
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    return None if worker is None else worker["testrunuid"]


@dataclass
class BenchRun:
    """One run of the suite: the plan at collection, the evaluation when it is first needed.

    Attributes:
        config: pytest's configuration.
        blessed: What to tell of what `--bless` recorded, line by line.
        computed: How many images were computed rather than read from the store.
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
        return build_plan(request_of(partial(option, self.config)))

    @property
    def attacks(self) -> tuple[str, ...]:
        """What the rows of attacks are called, see `row_name`; none if the options are refused."""
        return tuple(dict.fromkeys(row_name(row.id) for row in self.plan.attack_rows)) if self._is_planned() else ()

    @property
    def editors(self) -> tuple[str, ...]:
        """The names of the plan's editors; none if the options are refused."""
        return tuple(self.plan.editors) if self._is_planned() else ()

    def planned(self, attack: str, editor: str) -> Row:
        """Return a row of the plan.

        Args:
            attack: One of `attacks`.
            editor: One of `editors`.
        """
        return next(row for row in self.plan.attack_rows if (row_name(row.id), row.editor) == (attack, editor))

    def row(self, attack: str, editor: str) -> ResultRow | None:
        """Return the same row of the result; None if the attack was stopped."""
        wanted = self.planned(attack, editor).id
        return next((row for row in self.result.attack_rows if row.id == wanted), None)

    def why_stopped(self, attack: str, editor: str) -> str | None:
        """Return why a row of the plan is not in the result; None if it is."""
        label = self.planned(attack, editor).label
        return next((failure.error for failure in self.result.failures if failure.attack == label), None)

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
        return Store(option(self.config, STORE))

    @cached_property
    def result(self) -> EvaluationResult:
        """The result of the evaluation; computes what the store lacks, where no other process of the session has."""
        if self.finished_elsewhere:
            found = self.store.result(self.plan.id)
            if found is not None:
                return found
        on_failure = OnFailure(option(self.config, FAIL_FAST), option(self.config, DEBUG))
        with self._uncaptured():
            # Within, so that progress goes to the real standard error.
            run = run_plan(self.plan, self.store, Progress(quiet=option(self.config, QUIET)), on_failure)
        self.computed = run.computed
        return run.values

    @cached_property
    def gate(self) -> GateReport:
        """What the gate found, after `--bless` if that was asked for."""
        path = option(self.config, BASELINE)
        if option(self.config, BLESS) and not self.finished_elsewhere:
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
            require_writable(option(self.config, REPORTS), "--reports")
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
