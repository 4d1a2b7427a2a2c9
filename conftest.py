"""Makes the benchmark's options and fixtures known to every run from this folder."""

pytest_plugins = ["photoguard_eval.app.pytest_plugin"]
