"""The plug-in that pytest finds in every project of who has the package: it declares options, and opens the suite.

It imports nothing of the benchmark. Only a run of the suite loads that, and takes the options by their short names:
elsewhere `--workers` or `--store` may be another plug-in's.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from photoguard_eval.app.options import SUITE_OPTIONS, Option

SUITE = "photoguard_eval.app.suite"
"""The plug-in that runs the benchmark."""

PACKAGE = "photoguard_eval.bench"
"""The suite's tests, for `pytest --pyargs`."""

GROUP = "photoguard-eval"


def destination(option: Option) -> str:
    """Return the name that pytest keeps an option's value under."""
    return f"photoguard_{option.destination}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of the suite by names that no other plug-in has."""
    group = parser.getgroup(GROUP, "photoguard-eval: the benchmark of image immunization")
    for option in SUITE_OPTIONS:
        group.addoption(f"--photoguard-{option.name}", dest=destination(option), **option.keywords)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None]:
    """Open the suite where it is what runs, and refuse an option in a file that nobody knows.

    Last, when the options of all other plug-ins are known.
    """
    yield
    given = early_config.known_args_namespace
    if any(_is_of_the_suite(argument, given.pyargs) for argument in given.file_or_dir):
        open_suite(parser, early_config.pluginmanager)
    if early_config.pluginmanager.hasplugin(SUITE):
        _refuse_unknown_options_in_files(parser, args)


def open_suite(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Load the suite's plug-in, and declare the short names of its options that no other plug-in has."""
    if pluginmanager.hasplugin(SUITE):
        return
    pluginmanager.import_plugin(SUITE)
    group = parser.getgroup(GROUP)
    # pytest tells of a name that is taken by an error alone, of another kind from version to version.
    groups = [getattr(parser, "_anonymous", None), *getattr(parser, "_groups", ())]
    taken = {name for group in groups if group for option in group.options for name in option.names()}
    for option in SUITE_OPTIONS:
        name = f"--{option.name}"
        if name not in taken:
            facts = {**option.keywords, "help": f"short for --photoguard-{option.name}"}
            group.addoption(name, dest=destination(option), **facts)


def _is_of_the_suite(argument: str, is_module: bool) -> bool:
    """Tell whether an argument of pytest names the suite, or a test of it, in the package."""
    place = argument.partition("::")[0]
    if is_module and (place == PACKAGE or place.startswith(f"{PACKAGE}.")):
        return True
    return Path(place).resolve().is_relative_to(Path(__file__).resolve().parents[1] / "bench")


def _refuse_unknown_options_in_files(parser: pytest.Parser, arguments: list[str]) -> None:
    files = [argument for argument in arguments if argument.startswith("@")]
    if not files:
        return
    from photoguard_eval.app.option_files import lacking, lines_of
    from photoguard_eval.errors import PhotoguardError

    unknown = parser.parse_known_and_unknown_args(arguments)[1]
    try:
        for line in (line for file in files for line in lines_of(file)):
            if line.option and line.text in unknown:
                raise lacking(line, "the suite", [f"--{option.name}" for option in SUITE_OPTIONS])
    except PhotoguardError as error:
        raise pytest.UsageError(str(error)) from error
