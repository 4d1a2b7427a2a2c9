"""`photoguard-eval attacks`."""

from __future__ import annotations

import argparse
import sys

from photoguard_eval.app.command import Command, print_json
from photoguard_eval.app.options import JSON


def run(options: argparse.Namespace) -> int:
    """Print the attacks, those of the paper first."""
    from photoguard_eval.attacks import ATTACKS
    from photoguard_eval.pipeline.presets import DEFAULT_ATTACKS
    from photoguard_eval.reports import terminal_width
    from photoguard_eval.reports.cells import table_of
    from photoguard_eval.reports.naming import budget_text, knowledge_text
    from photoguard_eval.reports.render.terminal import render_table

    rows = []
    paper = {name: number for number, name in enumerate(DEFAULT_ATTACKS)}
    ordered = sorted(ATTACKS.classes().items(), key=lambda entry: (paper.get(entry[0], len(paper)), entry[0]))
    for name, factory in ordered:
        # Finished images have been computed elsewhere: nothing can be said of them before there are any.
        if factory.is_finished:
            continue
        plugin = ATTACKS.create(name)
        attack, threat_model = plugin.instance, plugin.declared.within()
        rows.append(
            {
                "name": name,
                "paper": attack.paper,
                "budget": budget_text(threat_model),
                "sees": knowledge_text(threat_model),
                "gradient_evaluations": attack.gradient_evaluations,
                "gradient_through": attack.gradient_through,
                "presets": ", ".join(getattr(factory, "presets", {})),
            }
        )
    if options.json:
        print_json(rows)
    else:
        print(render_table(table_of("Attacks", rows), bold=sys.stdout.isatty(), width=terminal_width()))
    return 0


COMMAND = Command("attacks", "List the attacks, what they may see and what they cost.", run, (JSON,))
