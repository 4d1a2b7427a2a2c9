"""Opens the suite for a run from this folder; its tests are in photoguard_eval/bench."""

import pytest

PLUGIN = "photoguard_eval.app.pytest_plugin"


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Load the plug-in, also where the package is not installed, and take its options by their short names."""
    pluginmanager.import_plugin(PLUGIN)
    pluginmanager.get_plugin(PLUGIN).open_suite(parser, pluginmanager)
