"""The benchmark for image immunization.

Attacks on latent diffusion models plug into a registry, seeded edits of original and immunized images are compared
by the field's metrics, and thresholds guard against regressions. Importing the package loads no heavy library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from photoguard_eval.version import __version__

if TYPE_CHECKING:
    from photoguard_eval.app.face import evaluate, immunize
    from photoguard_eval.app.result import Result
    from photoguard_eval.attacks import ATTACKS, Attack, AttackBatch, Ball, ThreatModel, parameters, register_attack
    from photoguard_eval.conformance import check_attack, check_editor, check_metric, check_purifier
    from photoguard_eval.data.cases import Dataset, EditCase, load_dataset
    from photoguard_eval.diffusion import EDITORS, Editor, EditSettings, LatentDiffusion, load_model
    from photoguard_eval.metrics import METRICS, Metric
    from photoguard_eval.purifiers import PURIFIERS, Purifier, register_purifier

_EXPORTS = {
    "evaluate": "app.face",
    "immunize": "app.face",
    "Result": "app.result",
    "ATTACKS": "attacks",
    "Attack": "attacks",
    "AttackBatch": "attacks",
    "Ball": "attacks",
    "ThreatModel": "attacks",
    "parameters": "attacks",
    "register_attack": "attacks",
    "check_attack": "conformance",
    "check_editor": "conformance",
    "check_metric": "conformance",
    "check_purifier": "conformance",
    "Dataset": "data.cases",
    "EditCase": "data.cases",
    "load_dataset": "data.cases",
    "EDITORS": "diffusion",
    "Editor": "diffusion",
    "EditSettings": "diffusion",
    "LatentDiffusion": "diffusion",
    "load_model": "diffusion",
    "METRICS": "metrics",
    "Metric": "metrics",
    "PURIFIERS": "purifiers",
    "Purifier": "purifiers",
    "register_purifier": "purifiers",
}

__all__ = [
    "ATTACKS",
    "EDITORS",
    "METRICS",
    "PURIFIERS",
    "Attack",
    "AttackBatch",
    "Ball",
    "Dataset",
    "EditCase",
    "EditSettings",
    "Editor",
    "LatentDiffusion",
    "Metric",
    "Purifier",
    "Result",
    "ThreatModel",
    "__version__",
    "check_attack",
    "check_editor",
    "check_metric",
    "check_purifier",
    "evaluate",
    "immunize",
    "load_dataset",
    "load_model",
    "parameters",
    "register_attack",
    "register_purifier",
]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
