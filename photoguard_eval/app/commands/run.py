"""`photoguard-eval run`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from photoguard_eval.app.command import EXIT_FAILED_GATE, Command, print_json, request_from
from photoguard_eval.app.options import JSON, SUITE_OPTIONS

if TYPE_CHECKING:
    from photoguard_eval.results.outcomes import GateReport
    from photoguard_eval.results.schema import EvaluationResult


def run(options: argparse.Namespace) -> int:
    """Evaluate, compare with the baseline, and print and write the leaderboard."""
    from photoguard_eval.analysis.baseline import read_baseline
    from photoguard_eval.analysis.board_rows import leaderboard_rows
    from photoguard_eval.app.face import run_plan
    from photoguard_eval.files import require_writable
    from photoguard_eval.pipeline.driver import OnFailure
    from photoguard_eval.pipeline.plan import build_plan
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.pipeline.store import Store
    from photoguard_eval.reports import terminal_report, terminal_width, write_reports

    plan = build_plan(request_from(options))
    if options.baseline is not None and not options.bless:
        # Before the work, not after hours of it.
        read_baseline(options.baseline)
    require_writable(options.reports, "--reports")
    store = Store(options.store)
    on_failure = OnFailure(options.fail_fast, options.debug)
    found = run_plan(plan, store, Progress(quiet=options.quiet), on_failure)
    result, images, paper_rows = found.values, found.images, found.paper_rows
    report, blessed = _gate(options, result)
    if options.json:
        print_json(leaderboard_rows([result]))
    else:
        bold, width = sys.stdout.isatty(), terminal_width()
        print(
            terminal_report(result, report, paper_rows=paper_rows, bold=bold, width=width),
            *blessed,
            sep="\n",
            flush=True,
        )
    # Last, so that a full disk does not hide what was found.
    paths = write_reports(result, report, options.reports, images, paper_rows=paper_rows)
    if not options.json:
        print(f"\nLeaderboard: {paths.html.resolve()}")
    is_gated = options.baseline is not None
    return EXIT_FAILED_GATE if result.failures or (is_gated and not report.passed) else 0


def _gate(options: argparse.Namespace, result: EvaluationResult) -> tuple[GateReport, tuple[str, ...]]:
    """Compare with a baseline, after it was recorded if that was asked for; also return what to tell of that."""
    from photoguard_eval.analysis.gate import bless, check, check_if_comparable

    if options.bless:
        blessing = bless(result, options.baseline)
        return check(result, blessing.path), blessing.lines
    return (check_if_comparable(result) if options.baseline is None else check(result, options.baseline)), ()


COMMAND = Command(
    "run",
    "Evaluate attacks and write the leaderboard.",
    run,
    (*SUITE_OPTIONS, JSON.but(help="print the leaderboard's rows as JSON")),
    reads_files=True,
)
