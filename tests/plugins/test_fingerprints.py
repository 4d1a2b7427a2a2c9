"""What tells a changed class from the old one, where it has no file."""

import linecache
import sys
import types

import pytest

from photoguard_eval.plugins.fingerprints import fingerprint

CELL = """
import helper
LEVEL = 3
UNUSED = 4

def scale(value):
    return value * LEVEL

class Base:
    amount = 1

class Mine(Base):
    name = "mine"

    def use(self, value=2):
        return [scale(value) for _ in range(self.amount)], helper
"""


@pytest.fixture(params=["with its source", "compiled alone"])
def typed(request, monkeypatch, tmp_path):
    """Return a function that runs a cell of a notebook and returns its class."""
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    (tmp_path / "helper.py").write_text("")

    def run(source, name="Mine"):
        file = f"<cell {hash(source)}>"
        if request.param == "with its source":
            monkeypatch.setitem(linecache.cache, file, (len(source), None, source.splitlines(keepends=True), file))
        space = sys.modules["__main__"].__dict__
        exec(compile(source, file, "exec"), space)
        return space[name]

    return run


def test_a_class_without_a_file_has_a_fingerprint(typed):
    first = fingerprint(typed(CELL))
    assert len(first) == 64
    assert fingerprint(typed(CELL)) == first
    moved = fingerprint(typed("\n\n" + CELL))
    assert moved == first, "where it stands in the cell says nothing"


@pytest.mark.parametrize(
    ("was", "now", "counts"),
    [
        ("range(self.amount)", "range(self.amount + 1)", True),
        ("value=2", "value=5", True),
        ("amount = 1", "amount = 2", True),
        ("LEVEL = 3", "LEVEL = 4", True),
        ("value * LEVEL", "value + LEVEL", True),
        ('name = "mine"', 'name = "thine"', True),
        ("UNUSED = 4", "UNUSED = 5", False),
    ],
)
def test_what_a_class_is_made_of_and_uses_counts(typed, was, now, counts):
    assert was in CELL
    assert (fingerprint(typed(CELL)) != fingerprint(typed(CELL.replace(was, now)))) == counts


def test_a_module_of_the_project_that_it_uses_counts(typed, tmp_path):
    before = fingerprint(typed(CELL))
    (tmp_path / "helper.py").write_text("CHANGED = True")
    assert fingerprint(typed(CELL)) != before


def test_a_class_in_a_file_is_told_by_its_file():
    assert fingerprint(Written) != fingerprint(int)
    assert fingerprint(int) == ""


class Written:
    pass
