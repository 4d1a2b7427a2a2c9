"""Which files decide what a plug-in does."""

from __future__ import annotations

import importlib
import inspect
import itertools
import sys
from pathlib import Path

import pytest

from photoguard_eval.attacks import ATTACKS, Attack
from photoguard_eval.plugins.source_code import source_files

PLUGIN = """
import json
from fractions import Fraction

import torch

from photoguard_eval import Attack
{imports}

class Mine(Attack):
    name = "mine"

    def perturb(self, model, batch, generator):
        {late}
        return batch.images
"""

FRESH = itertools.count()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that writes the modules of a package of a new name, and imports the class `Mine` of one."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(files, imports="", late="pass", folder=tmp_path):
        package = f"project_of_a_test_{next(FRESH)}"
        monkeypatch.syspath_prepend(str(folder))
        source = PLUGIN.format(imports=imports, late=late)
        for name, text in {"__init__.py": "", "plugin.py": source, **files}.items():
            path = folder / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("PACKAGE", package))
        (folder / package / "plugin.py").write_text(source.replace("PACKAGE", package))
        importlib.invalidate_caches()
        module = importlib.import_module(f"{package}.plugin")
        return module.Mine, folder / package

    yield write
    for name in [name for name in sys.modules if name.startswith("project_of_a_test_")]:
        del sys.modules[name]


def own(factory, folder):
    """Return the files of a class below a folder, by name."""
    return {str(path.relative_to(folder)) for path in source_files(factory) if path.is_relative_to(folder)}


@pytest.mark.parametrize(
    "imports",
    [
        "from PACKAGE import helper",
        "from PACKAGE.helper import SIZE",
        "import PACKAGE.helper",
        "import PACKAGE.helper as other",
        "from . import helper",
        "from .helper import SIZE",
        "from .helper import *",
    ],
)
def test_a_helper_is_found_however_it_is_imported(project, imports):
    factory, folder = project({"helper.py": "SIZE = 1\n", "unused.py": ""}, imports)
    assert own(factory, folder) == {"__init__.py", "plugin.py", "helper.py"}


def test_an_import_within_a_method_counts(project):
    factory, folder = project({"helper.py": ""}, late="from PACKAGE.helper import late")
    assert "helper.py" in own(factory, folder)


def test_what_a_helper_imports_counts_even_in_a_circle(project):
    files = {
        "helper.py": "from .deep import tool\n",
        "deep/__init__.py": "",
        "deep/tool.py": "from .. import helper\nfrom ..last import END\n",
        "last.py": "END = 1\n",
    }
    factory, folder = project(files, "from . import helper")
    assert own(factory, folder) == {
        "__init__.py",
        "plugin.py",
        "helper.py",
        "deep/__init__.py",
        "deep/tool.py",
        "last.py",
    }


def test_a_helper_outside_the_package_counts_unless_it_is_a_library(project, tmp_path):
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    (tmp_path / "loose_helper_of_a_test.py").write_text("")
    (libraries / "library_of_a_test.py").write_text("")
    sys.path.insert(0, str(libraries))
    try:
        factory, _ = project({}, "import loose_helper_of_a_test\nimport library_of_a_test")
        names = {path.name for path in source_files(factory)}
    finally:
        sys.path.remove(str(libraries))
    assert "loose_helper_of_a_test.py" in names
    assert "library_of_a_test.py" not in names


def test_an_installed_package_is_followed_within_itself(project, tmp_path):
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    (libraries / "library_of_a_test.py").write_text("")
    factory, folder = project({"helper.py": ""}, "import library_of_a_test\nfrom . import helper", folder=libraries)
    assert own(factory, libraries) == {f"{folder.name}/{name}" for name in ("__init__.py", "plugin.py", "helper.py")}


def test_a_helper_that_cannot_be_read_as_python_counts_by_its_content(project):
    factory, folder = project({"helper.py": "def broken(:\n"}, late="from . import helper")
    assert "helper.py" in own(factory, folder)


def test_the_attacks_of_this_package_are_their_own_files_alone():
    for factory in ATTACKS.classes().values():
        if factory.__module__.startswith("photoguard_eval."):
            files = {
                Path(inspect.getsourcefile(base))
                for base in factory.__mro__
                if base.__module__.startswith("photoguard")
            }
            assert source_files(factory) == {path.resolve() for path in files}


def test_a_class_without_a_file_has_none():
    namespace = {"__name__": "typed_at_a_prompt", "Attack": Attack}
    exec("class Typed(Attack):\n    name = 'typed'\n", namespace)
    assert source_files(namespace["Typed"]) == frozenset()


def test_a_changed_helper_changes_the_fingerprint(project):
    factory, folder = project({"helper.py": "SIZE = 1\n"}, "from .helper import SIZE")
    spec = f"{factory.__module__}:Mine"
    before = ATTACKS.create(spec).fingerprint
    assert ATTACKS.create(spec).fingerprint == before
    (folder / "helper.py").write_text("SIZE = 2\n")
    assert ATTACKS.create(spec).fingerprint != before
