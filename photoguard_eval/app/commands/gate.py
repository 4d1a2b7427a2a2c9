"""`photoguard-eval gate`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from photoguard_eval.app.command import EXIT_FAILED_GATE, Command, print_json
from photoguard_eval.app.options import BASELINE, BLESS, JSON, STORE

if TYPE_CHECKING:
    from photoguard_eval.results.outcomes import GateReport


def run(options: argparse.Namespace) -> int:
    """Check the latest result of a store, or record it."""
    from photoguard_eval.analysis.gate import bless, check
    from photoguard_eval.pipeline.store import Store
    from photoguard_eval.reports import gate_report, terminal_width

    result = Store.existing(options.store).latest_result()
    if options.bless:
        print("\n".join(bless(result, options.baseline).lines))
        return 0
    report = check(result, options.baseline)
    if options.json:
        print_json(_as_json(report))
    else:
        print(gate_report(result, report, width=terminal_width()))
    return 0 if report.passed else EXIT_FAILED_GATE


def _as_json(report: GateReport) -> dict[str, Any]:
    claims = [{**claim.model_dump(mode="json"), "verdict": claim.verdict} for claim in report.claims]
    return {**report.model_dump(mode="json"), "claims": claims, "passed": report.passed}


COMMAND = Command(
    "gate",
    "Check the latest result of a store against its baseline.",
    run,
    (STORE, BASELINE, BLESS, JSON.but(help="print all outcomes as JSON")),
)
