"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

from photoguard_eval import resources

FILES = [file for file in sorted(resources.PACKAGE.rglob("*.py")) if ">>> " in file.read_text(encoding="utf-8")]
MODULES = [".".join(file.relative_to(resources.PACKAGE.parent).with_suffix("").parts) for file in FILES]

EXPLAINED = ("load_model", "identify_model", "Editor.edit", "EditSettings.changed", "LatentDiffusion.encode")


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_most_used_functions_have_examples(name):
    found = [example for module in MODULES for example in doctest.DocTestFinder().find(importlib.import_module(module))]
    assert [example.name for example in found if example.examples and example.name.endswith(f".{name}")]
