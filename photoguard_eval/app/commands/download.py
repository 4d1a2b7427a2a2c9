"""`photoguard-eval download`."""

from __future__ import annotations

import argparse

from photoguard_eval.app.command import Command
from photoguard_eval.app.options import MODEL, REVISION


def run(options: argparse.Namespace) -> int:
    """Fetch a model, and say where it lies."""
    from photoguard_eval.diffusion import identify_model

    identity = identify_model(options.model, options.revision)
    print(f"{identity.path}: {identity.kind}, weights {identity.weights_sha256[:12]}")
    return 0


COMMAND = Command(
    "download",
    "Fetch a model of the hub into the local cache (HF_HOME).",
    run,
    (
        MODEL.but(help="hub id", metavar=None, positional=True),
        REVISION.but(help="commit, tag or branch (default: the pinned commit, or the newest)"),
    ),
)
