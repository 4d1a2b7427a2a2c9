"""`photoguard-eval plan`."""

from __future__ import annotations

import argparse

from photoguard_eval.app.command import Command, print_json, request_from
from photoguard_eval.app.options import EVALUATION_OPTIONS, JSON


def run(options: argparse.Namespace) -> int:
    """Print what a run would take."""
    from dataclasses import asdict

    from tabulate import tabulate

    from photoguard_eval.pipeline.forecast import forecast
    from photoguard_eval.pipeline.plan import build_plan
    from photoguard_eval.pipeline.progress import Progress
    from photoguard_eval.pipeline.store import Store

    predicted = forecast(build_plan(request_from(options)), Store(options.store), Progress(quiet=options.quiet))
    if options.json:
        print_json({"seconds": predicted.seconds, **asdict(predicted)})
        return 0
    if predicted.stages:
        rows = [list(asdict(stage).values()) for stage in predicted.stages]
        print(tabulate(rows, headers=["stage", "attack", "editor", "images", "seconds"], floatfmt=".1f"))
    print(
        f"\n{predicted.seconds / 60:.1f} minutes in one process, {predicted.peak_memory_mib / 1024:.1f} GiB at most; "
        f"measured in {predicted.measured_seconds:.0f} s."
    )
    return 0


COMMAND = Command(
    "plan",
    "Say what a run would take, from a few measured steps.",
    run,
    (*EVALUATION_OPTIONS, JSON),
    reads_files=True,
)
