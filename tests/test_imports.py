"""Importing the package, and planning with it, loads no heavy library."""

import subprocess
import sys

import pytest

from photoguard_eval import resources

HEAVY = ("torch", "diffusers", "transformers", "piq", "open_clip", "torchmetrics", "matplotlib", "scipy")
MODULES = (
    "photoguard_eval",
    "photoguard_eval.attacks",
    "photoguard_eval.diffusion",
    "photoguard_eval.metrics",
    "photoguard_eval.pipeline.plan",
    "photoguard_eval.pipeline.evaluation",
    "photoguard_eval.analysis.gate",
    "photoguard_eval.reports",
    "photoguard_eval.app.main",
)


@pytest.mark.parametrize("module", MODULES)
def test_importing_loads_no_heavy_library(module):
    command = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_without_a_heavy_library():
    command = (
        "import sys; from photoguard_eval.app.main import build_parser; build_parser().format_help(); "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_file_of_the_package_is_longer_than_a_person_reads_at_once():
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in resources.PACKAGE.rglob("*.py")}
    assert {file.name: length for file, length in lengths.items() if length > 300} == {}
