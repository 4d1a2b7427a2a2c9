"""`photoguard-eval info`."""

from __future__ import annotations

import argparse
import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from photoguard_eval.app.command import Command, print_json
from photoguard_eval.app.options import JSON
from photoguard_eval.version import __version__

if TYPE_CHECKING:
    from photoguard_eval.metrics import Metric
    from photoguard_eval.purifiers import Purifier


def run(options: argparse.Namespace) -> int:
    """Print what can be named in options."""
    from photoguard_eval.reports import terminal_width

    facts = _facts()
    if options.json:
        print_json(facts)
        return 0
    print(f"photoguard-eval {__version__}")
    for kind, entries in facts.items():
        if isinstance(entries, dict):
            print(f"\n{kind}")
            for name, text in entries.items():
                print(textwrap.fill(f"  {name:<16} {text}", terminal_width(), subsequent_indent=" " * 19))
    return 0


def _facts() -> dict[str, Any]:
    from photoguard_eval import resources
    from photoguard_eval.attacks import ATTACKS
    from photoguard_eval.data.cases import METADATA
    from photoguard_eval.diffusion import EDITORS
    from photoguard_eval.metrics import METRICS
    from photoguard_eval.pipeline.presets import PRESETS
    from photoguard_eval.purifiers import PURIFIERS

    return {
        "version": __version__,
        "attacks": {name: attack.title or _first_line(attack) for name, attack in ATTACKS.classes().items()},
        "editors": {name: _first_line(editor) for name, editor in EDITORS.classes().items()},
        "metrics": {name: _metric_line(metric) for name, metric in METRICS.classes().items()},
        "purifiers": {name: _purifier_line(purifier) for name, purifier in PURIFIERS.classes().items()},
        "presets": {name: preset.description for name, preset in PRESETS.items()},
        "models": {name: str(path) for name, path in resources.embedded_checkpoints().items()},
        "boards": {name: str(path) for name, path in resources.boards().items()},
        "datasets": {
            path.parent.name: str(path.parent) for path in sorted(resources.datasets_folder().glob(f"*/{METADATA}"))
        },
    }


def _metric_line(metric: type[Metric]) -> str:
    missing = metric.missing()
    return f"{metric.label}: {metric.source}" + (f". Left out here: {missing}" if missing else "")


def _purifier_line(purifier: type[Purifier]) -> str:
    arguments = [f"{key}={value.default}" for key, value in inspect.signature(purifier).parameters.items()]
    gradient = "" if purifier.differentiable else " Not for eot: no useful gradient."
    return f"{_first_line(purifier)} With {', '.join(arguments) or 'no arguments'}.{gradient}"


def _first_line(plugin: type) -> str:
    return (plugin.__doc__ or "").strip().partition("\n")[0]


COMMAND = Command("info", "List attacks, metrics, editors, presets, models, datasets and boards.", run, (JSON,))
