"""A changed file is a changed plug-in: files as arguments, files that it names, and files that it opens."""

from dataclasses import replace
from pathlib import Path

import pytest

from photoguard_eval.attacks import ATTACKS
from photoguard_eval.diffusion import EDITORS
from photoguard_eval.errors import PluginError
from photoguard_eval.metrics import METRICS
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.steps.keys import Editing, Placement
from photoguard_eval.pipeline.store import Store
from photoguard_eval.plugins.file_reads import argument_inputs
from photoguard_eval.purifiers import PURIFIERS

PLUGIN = """
from pathlib import Path
from photoguard_eval.{module} import {base}

HERE = Path(__file__).parent
AT_IMPORT = (HERE / "imported.txt").read_text()

class Mine({base}):
    name = label = "mine"
    inputs = {{"named": HERE / "named.txt"}}

    def __init__(self, *, level: Path | None = None, file: str = "", several: list[Path] = ()):
        super().__init__()
        self.built = (HERE / "built.txt").read_text()

Mine.__abstractmethods__ = frozenset()
"""

KINDS = {
    "attacks": (ATTACKS, "Attack"),
    "metrics": (METRICS, "Metric"),
    "diffusion": (EDITORS, "Editor"),
    "purifiers": (PURIFIERS, "Purifier"),
}


@pytest.fixture
def plugin_of(tmp_path):
    """Return a function that makes a plug-in of a kind in a folder of its own, and builds it."""

    def build(kind, arguments=""):
        registry, base = KINDS[kind]
        folder = tmp_path / kind
        if not folder.exists():
            folder.mkdir()
            for name in ("imported", "named", "built", "level", "more"):
                (folder / f"{name}.txt").write_text("2")
            (folder / "mine.py").write_text(PLUGIN.format(module=kind, base=base))
        return registry.create(f"{folder / 'mine.py'}:Mine{arguments}")

    return build


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_a_plug_in_is_in_its_inputs_by_content(plugin_of, tmp_path, kind):
    folder = tmp_path / kind
    arguments = f",level={folder / 'level.txt'},file={folder / 'more.txt'}"
    before = plugin_of(kind, arguments).inputs
    assert set(before) == {"named", "content of level", "content of file"}, "what is of the same content counts once"
    for name, file in (("content of level", "level"), ("content of file", "more"), ("named", "named")):
        (folder / f"{file}.txt").write_text("15")
        after = plugin_of(kind, arguments).inputs
        assert after[name] != before[name]
        before = after
    for file in ("imported", "built"):
        (folder / f"{file}.txt").write_text(f"changed {file}")
        assert f"content of {file}.txt" in plugin_of(kind, arguments).inputs


def test_files_of_a_folder_and_of_a_list_count_too(plugin_of, tmp_path):
    plugin = plugin_of("attacks")
    values = {"several": [tmp_path / "attacks" / "level.txt", tmp_path / "nowhere"], "folder": tmp_path / "attacks"}
    inputs = argument_inputs(values, folders=True)
    assert set(inputs) == {"content of several 0", "content of folder"}
    (tmp_path / "attacks" / "new.txt").write_text("")
    assert argument_inputs(values, folders=True)["content of folder"] != inputs["content of folder"]
    assert argument_inputs({"text": "x" * 10**5, "other": "a\0b"}, folders=True) == {}
    assert plugin.undeclared({str(tmp_path / "attacks" / "mine.py"), "/dev/null"}) == []


def test_a_file_that_is_named_and_missing_is_said(plugin_of, tmp_path):
    plugin_of("attacks")
    (tmp_path / "attacks" / "named.txt").unlink()
    with pytest.raises(PluginError, match=r"inputs of 'mine' names .*named\.txt, which is not there"):
        plugin_of("attacks")


def test_inputs_are_in_the_keys_of_all_that_a_plug_in_makes(make_request, tmp_path):
    plan = build_plan(make_request(attacks=("noise",)))
    changed = {"file": "0" * 64}
    editing = Editing(plan.model, Placement("float32"), EDITORS.create("inpaint"), plan.editors["inpaint"].settings)
    other = replace(editing, editor=replace(editing.editor, inputs=changed))
    assert editing.facts(editing.settings) != other.facts(editing.settings)
    scorer = Scorer(plan, Store(tmp_path / "store"))
    score = scorer.scores[0]
    changed_score = replace(score, plugin=replace(score.plugin, inputs=changed))
    assert scorer.inputs(plan.attack_rows[0], score).key != scorer.inputs(plan.attack_rows[0], changed_score).key


def test_a_changed_file_changes_the_keys_of_a_run(make_request, plugin_of, tmp_path):
    folder = tmp_path / "attacks"
    plugin_of("attacks")

    def keys():
        plan = build_plan(make_request(attacks=(f"{folder / 'mine.py'}:Mine,level={folder / 'level.txt'}",)))
        return [cell.key for method in plan.attack_rows for cell in method.immunize]

    before = keys()
    assert keys() == before
    Path(folder / "level.txt").write_text("15")
    assert not set(keys()) & set(before)
