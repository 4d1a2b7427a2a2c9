"""An attack of others that is made of several files."""

import pytest

ATTACK = """
from pathlib import Path
from photoguard_eval import Attack
from helper import added

LEVEL = float(Path(__file__).with_name("level.txt").read_text())

class Mine(Attack):
    name = "mine"

    def __init__(self, extra: Path, **options):
        super().__init__(**options)
        self.extra = extra

    def perturb(self, model, batch, generator):
        return added(batch.images, LEVEL + float(self.extra.read_text()))
"""
HELPER = """
def added(images, levels):
    return (images + levels / 255).clamp(0, 1)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a module beside the attack's file, and two files of data."""
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "mine.py").write_text(ATTACK)
    (folder / "helper.py").write_text(HELPER)
    (folder / "level.txt").write_text("3")
    (folder / "data" / "extra.txt").write_text("2")
    (folder / "unrelated.txt").write_text("a secret")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    return folder
