"""The plug-in in a project of somebody else's, who merely has the package installed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from photoguard_eval import bench
from photoguard_eval.app.options import SUITE_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "photoguard_eval.app.pytest_plugin"
ENTRY_POINTS = f"[pytest11]\n{PLUGIN} = {PLUGIN}\n"
LISTING = """
import json, sys
def pytest_unconfigure():
    open("modules.json", "w").write(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture
def project(tmp_path):
    """Return a function that runs pytest in an empty project, where the package is installed unless said otherwise."""
    site = tmp_path / "site"
    information = site / "installed_here-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-here\nVersion: 1\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "project").mkdir()

    def run(*options, installed=True):
        paths = [str(site)] if installed else []
        blocked = [] if installed else ["-p", f"no:{PLUGIN}"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *blocked, *options],
            capture_output=True,
            text=True,
            cwd=tmp_path / "project",
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)])},
        )

    return run


def test_a_plugin_that_is_merely_installed_imports_nothing_heavy(project, tmp_path):
    modules = {}
    for installed in (True, False):
        (tmp_path / "project" / "conftest.py").write_text(LISTING)
        assert project("--collect-only", "-q", installed=installed).returncode == 5
        modules[installed] = set(json.loads((tmp_path / "project" / "modules.json").read_text()))
    added = modules[True] - modules[False]
    assert PLUGIN in added
    assert added == {
        "photoguard_eval",
        "photoguard_eval.version",
        "photoguard_eval.app",
        "photoguard_eval.app.options",
        PLUGIN,
    }


def test_its_short_options_are_those_of_the_suite_alone(project):
    done = project("--bless")
    assert done.returncode == 4
    assert "unrecognized arguments: --bless" in done.stderr
    assert project("--photoguard-bless").returncode == 5
    with_it, without_it = (
        set(re.findall(r"^  (--[\w-]+)", project("--help", installed=installed).stdout, re.MULTILINE))
        for installed in (True, False)
    )
    assert with_it - without_it == {f"--photoguard-{option.name}" for option in SUITE_OPTIONS}


def test_it_leaves_a_projects_own_options_and_fixtures_alone(project, tmp_path):
    (tmp_path / "project" / "conftest.py").write_text(
        f"pytest_plugins = ['{PLUGIN}']\n"
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--store')\n"
        "    parser.addoption('--gpu', action='store_true')\n"
    )
    (tmp_path / "project" / "test_own.py").write_text(
        "def test_own(request):\n    assert request.config.getoption('--store') == 'shop'\n"
    )
    done = project("-p", PLUGIN, "--store", "shop", "--gpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert project("--fixtures").stdout.count("photoguard") == 0


def test_the_suite_is_found_in_any_project(project):
    done = project("--pyargs", "photoguard_eval.bench", "--collect-only", "-q", "--preset", "smoke", "--attack=noise")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_variations.py::test_protection_is_kept[noise]" in done.stdout
    done = project("--pyargs", "photoguard_eval.bench.test_cost", "--preset", "smole")
    assert done.returncode == 4
    assert "Unknown preset 'smole'. Did you mean 'smoke'?" in done.stderr


def test_an_option_in_a_file_that_the_suite_lacks_is_refused_with_its_line(project, tmp_path):
    (tmp_path / "project" / "board.txt").write_text("--attack=noise\n--presett=smoke\n")
    done = project("--pyargs", "photoguard_eval.bench", "@board.txt")
    assert done.returncode == 4
    assert "board.txt, line 2: the suite has no option --presett. Did you mean --preset?" in done.stderr


def test_a_clone_collects_the_packaged_suite():
    packaged = {path.name for path in Path(bench.__file__).parent.glob("test_*.py")}
    assert {path.name for path in (ROOT / "bench").glob("test_*.py")} == packaged
    for name in packaged:
        assert f"from photoguard_eval.bench.{Path(name).stem} import *" in (ROOT / "bench" / name).read_text()
