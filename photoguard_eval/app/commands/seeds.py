"""`photoguard-eval seeds`."""

from __future__ import annotations

import argparse
from pathlib import Path

from photoguard_eval.app.command import Command, request_from
from photoguard_eval.app.options import CASE_OPTIONS, MODEL_OPTIONS, QUIET, STORE, Option


def run(options: argparse.Namespace) -> int:
    """Search the best of several seeds for every edit, and write the record."""
    from photoguard_eval.pipeline.plan import build_plan
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.pipeline.seed_search import search_seeds, write_seeds
    from photoguard_eval.pipeline.store import Store

    plan = build_plan(request_from(options))
    command = f"photoguard-eval seeds --preset {plan.preset.name} --candidates {options.candidates}"
    found = search_seeds(plan, Store(options.store), Progress(quiet=options.quiet), options.candidates, command)
    path = write_seeds(plan, found, options.output)
    count = sum(len(cases) for cases in found.seeds.values())
    print(f"{path}: the best of {options.candidates} seeds for {count} edits")
    return 0


COMMAND = Command(
    "seeds",
    "Search good seeds for the edits of a dataset (paper, A.1).",
    run,
    (
        *MODEL_OPTIONS,
        *CASE_OPTIONS,
        Option("candidates", "seeds per case", 8, type=int, metavar="K"),
        STORE,
        Option("output", "where to write the record (default: the dataset's folder)", type=Path),
        QUIET,
    ),
)
