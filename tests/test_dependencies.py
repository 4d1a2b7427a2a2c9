"""What is imported is declared, and the lower bounds are pins that the lowest-versions run installs."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from runpy import run_path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOWEST = run_path(str(ROOT / ".ci" / "lowest.py"))
DISTRIBUTIONS = packages_distributions()
OPTIONAL = [name for name in PROJECT["optional-dependencies"] if name != "dev"]


def names(requirements):
    return {normalised(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folders):
    """The distributions that the files of some folders import, with a file for each."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    own = {path.name for path in ROOT.iterdir()} | {path.stem for path in files}
    found = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in {module.partition(".")[0] for module in modules} - own - set(sys.stdlib_module_names):
                for distribution in DISTRIBUTIONS.get(module, [module]):
                    found.setdefault(normalised(distribution), str(path.relative_to(ROOT)))
    return found


def test_what_the_package_imports_is_declared():
    extras = [requirement for name in OPTIONAL for requirement in PROJECT["optional-dependencies"][name]]
    declared = names([*PROJECT["dependencies"], *extras])
    assert {name: path for name, path in imported(["photoguard_eval", "bench"]).items() if name not in declared} == {}


def test_what_the_tests_and_tools_import_is_declared():
    declared = names([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]])
    found = imported(["tests", "benchmarks", "recipes", "examples", ".ci"])
    assert {name: path for name, path in found.items() if name not in declared} == {}


def test_every_dependency_has_a_lower_bound_that_can_be_installed():
    pins = LOWEST["lowest_versions"](PROJECT["dependencies"])
    assert names(pins) == names(PROJECT["dependencies"])
    assert "transformers==5.6" in pins
    assert not {"torch", "torchvision"} & names(
        LOWEST["lowest_versions"](PROJECT["dependencies"], ["torch", "torchvision"])
    )


@pytest.mark.parametrize(
    ("dependencies", "without", "message"),
    [
        (["torch"], [], "'torch' has no lower bound \\(name>=version\\)"),
        (["torch==2.6"], [], "no lower bound"),
        (["torch>=2.6"], ["torchvison"], "torchvison is no dependency. Known: torch"),
    ],
)
def test_a_dependency_without_a_lower_bound_is_refused(dependencies, without, message):
    with pytest.raises(ValueError, match=message):
        LOWEST["lowest_versions"](dependencies, without)


def test_the_lowest_versions_run_in_ci_with_all_of_their_bounds():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert any("tox run -e lowest" in command for command in commands)
    assert ".ci/lowest.py" in (ROOT / ".ci" / "run").read_text()
