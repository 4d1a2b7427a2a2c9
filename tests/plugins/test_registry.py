import os
import subprocess
import sys
import unicodedata
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal

import pytest
import torch

from photoguard_eval.attacks import ATTACKS, AttackBatch
from photoguard_eval.attacks.harness import immunize
from photoguard_eval.diffusion import CostMeter, EditSettings, InpaintEditor
from photoguard_eval.errors import ConfigurationError, DuplicateNameError, PluginError, UnknownNameError
from photoguard_eval.images.arrays import decode_png, write_image
from photoguard_eval.plugins.registry import Registry
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import half_masks, random_images, tiny_model

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "checkerboard-attack"


class Tool(ABC):
    name = ""

    @abstractmethod
    def use(self): ...


class Hammer(Tool):
    name = "hammer"

    def __init__(
        self, *, weight: float = 0.5, count: int = 1, kind: Literal["claw", "ball"] = "claw", quick: bool = False
    ):
        self.weight, self.count, self.kind, self.quick = weight, count, kind, quick

    def use(self):
        return self.weight * self.count


class Drill(Tool):
    name = "drill"

    def __init__(self, *, size: int):
        self.size = size

    def use(self):
        return self.size


@pytest.fixture
def tools():
    registry = Registry("tool", Tool, "photoguard_eval.test_tools")
    registry.register(Hammer)
    registry.register(Drill)
    return registry


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs a package with an entry point, as pip would."""

    def install(name, module, source, group="photoguard_eval.test_tools", entry=None):
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry or f'{name} = {module}:Saw'}\n")

    monkeypatch.syspath_prepend(str(tmp_path))
    return install


SAW = """
from tests.plugins.test_registry import Tool

class Saw(Tool):
    name = 'saw'

    def use(self):
        return 'zzz'
"""


def test_arguments_are_converted_and_recorded(tools):
    plugin = tools.create("hammer,weight=8/255,count=3,kind=ball,quick=true")
    assert plugin.instance.use() == pytest.approx(24 / 255)
    assert plugin.arguments == {"weight": 8 / 255, "count": 3, "kind": "ball", "quick": True}
    assert plugin.label == "hammer,weight=8/255,count=3,kind=ball,quick=true"
    assert len(plugin.fingerprint) == 64


def test_defaults_of_a_preset_give_way_to_the_spec(tools):
    assert tools.create("hammer,count=7", {"count": 5, "weight": 2}).arguments["count"] == 7
    assert tools.create("hammer", {"count": 5}).arguments["count"] == 5


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("hamer", UnknownNameError, "Did you mean 'hammer'"),
        ("hammer,wieght=1", UnknownNameError, "Did you mean 'weight'"),
        ("hammer,count=1.5", ConfigurationError, "count='1.5' does not fit"),
        ("hammer,kind=sledge", ConfigurationError, "'claw' or 'ball'"),
        ("hammer,count", ConfigurationError, "write name=value"),
        ("hammer,count=1,count=2", ConfigurationError, "given twice"),
        ("drill", ConfigurationError, "needs size; write drill,size="),
        ("no_such_module:Saw", PluginError, "no module 'no_such_module'"),
        ("json:NoSuchThing", UnknownNameError, "NoSuchThing"),
        ("json:JSONDecoder", PluginError, "not a subclass of Tool"),
        ("nowhere/file.py:Saw", PluginError, "There is no file nowhere/file.py"),
    ],
)
def test_bad_specs_are_refused(tools, spec, error, message):
    with pytest.raises(error, match=message):
        tools.create(spec)


def test_two_classes_of_one_name_collide(tools):
    class Other(Hammer):
        name = "hammer"

    with pytest.raises(DuplicateNameError, match="Two tools are named 'hammer'"):
        tools.register(Other)


def test_registering_again_is_no_collision(tools):
    assert tools.register(Hammer) is Hammer


@pytest.mark.parametrize("name", ["", "a,b", "a:b", "a b", None])
def test_a_class_needs_a_usable_name(tools, name):
    with pytest.raises(PluginError, match="class attribute `name`"):
        tools.register(type("Nameless", (Hammer,), {"name": name}))


def test_a_plugin_comes_from_a_module(tools, tmp_path, monkeypatch):
    (tmp_path / "saw_module.py").write_text(SAW)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert tools.create("saw_module:Saw").instance.use() == "zzz"


def test_a_plugin_comes_from_a_file(tools, tmp_path):
    (tmp_path / "saw.py").write_text(SAW)
    plugin = tools.create(f"{tmp_path / 'saw.py'}:Saw")
    assert (plugin.label, plugin.instance.use()) == ("saw", "zzz")


def test_a_file_that_fails_says_why(tools, tmp_path):
    (tmp_path / "saw.py").write_text("1 / 0")
    with pytest.raises(PluginError, match=r"saw\.py could not be imported: ZeroDivisionError"):
        tools.create(f"{tmp_path / 'saw.py'}:Saw")


@pytest.mark.parametrize("where", ["imported", "built"])
def test_a_plugin_cannot_end_the_program_before_there_is_a_result(tools, tmp_path, where):
    """It would end with exit code 0, and whoever waits for the result would take it for a success."""
    ending = "__import__('os')._exit(0)"
    constructor = "" if where == "imported" else "\n    def __init__(self):\n        "
    (tmp_path / "ending.py").write_text(f"{SAW}{constructor}{ending}\n")
    leave = os._exit
    with pytest.raises(PluginError, match=rf"could not be {where}: SystemExit"):
        tools.create(f"{tmp_path / 'ending.py'}:Saw")
    assert os._exit is leave


def test_a_process_that_a_plugin_forks_ends_as_it_asks_to(tools, tmp_path):
    (tmp_path / "forking.py").write_text(
        f"{SAW}\nimport os\nchild = os.fork()\nif not child:\n    os._exit(7)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    assert tools.create(f"{tmp_path / 'forking.py'}:Saw").name == "saw"


def test_an_installed_plugin_is_found_by_its_entry_point(tools, installed):
    installed("saw", "installed_saw", SAW)
    assert "saw" in tools.names()
    plugin = tools.create("saw")
    assert (plugin.source, plugin.instance.use()) == ("saw 1.2", "zzz")


def test_a_broken_installed_plugin_warns_and_the_others_work(tools, installed):
    installed("saw", "broken_saw", "raise RuntimeError('rusty')")
    with pytest.warns(UserWarning, match=r"'saw' of saw 1\.2 could not be loaded: RuntimeError: rusty\."):
        assert list(tools.classes()) == ["hammer", "drill"]
    with pytest.raises(PluginError, match="Mend or uninstall"):
        tools.create("saw")


def test_an_installed_plugin_may_not_take_a_name(tools, installed):
    installed("hammer", "other_hammer", SAW.replace("'saw'", "'hammer'"), entry="hammer = other_hammer:Saw")
    assert tools.create("hammer").instance.use() == 0.5
    with pytest.warns(UserWarning, match="Two tools are named 'hammer'"):
        tools.classes()


def test_two_installed_packages_of_one_name_collide(tools, installed):
    installed("saw", "first_saw", SAW)
    installed("saw2", "second_saw", SAW, entry="saw = second_saw:Saw")
    with pytest.raises(DuplicateNameError, match="Two installed packages"):
        tools.names()


def test_arguments_without_annotations_take_the_type_of_their_default(tools):
    class Plane(Hammer):
        name = "plane"

        def __init__(self, *, passes=2, depth=0.5, quick=False, wood="oak", **options):
            self.arguments = (passes, depth, quick, wood)

    tools.register(Plane)
    instance = tools.create("plane,passes=3,depth=1,quick=true,wood=8").instance
    assert instance.arguments == (3, 1.0, True, "8")
    assert [type(value) for value in instance.arguments] == [int, float, bool, str]
    assert tools.create("plane,passes=1/2").instance.arguments[0] == 0.5
    with pytest.raises(ConfigurationError, match="quick='perhaps' does not fit"):
        tools.create("plane,quick=perhaps")


def test_annotations_for_type_checkers_alone_do_no_harm(tools, tmp_path):
    (tmp_path / "file_plugin.py").write_text(
        "from __future__ import annotations\n"
        + SAW
        + "    def __init__(self, *, teeth: int = 5, target: no_such_module.Tensor | None = None):\n"
        + "        self.teeth = teeth\n"
    )
    assert tools.create(f"{tmp_path / 'file_plugin.py'}:Saw,teeth=7").instance.teeth == 7


def test_a_constructor_of_any_arguments_needs_none(tools):
    class Anything(Hammer):
        name = "anything"

        def __init__(self, *positional, **named):
            super().__init__()

    tools.register(Anything)
    assert tools.create("anything").arguments == {}


class Mallet(Hammer):
    name = "mallet"

    def __init__(self, *, rubber: float = 1.0, **options):
        self.rubber = rubber
        super().__init__(kind="ball", **options)


def test_arguments_that_a_constructor_hands_on_are_those_of_the_class_it_derives_from(tools):
    tools.register(Mallet)
    plugin = tools.create("mallet,rubber=1/2,count=3", {"weight": 2, "kind": "claw", "size": 1})
    assert (plugin.instance.use(), plugin.instance.rubber) == (6, 0.5)
    assert plugin.arguments == {"rubber": 0.5, "weight": 2.0, "count": 3, "quick": False}
    assert plugin.left_out == ("kind", "size"), "one is fixed, and the other nobody takes"
    with pytest.raises(UnknownNameError, match="Did you mean 'count'"):
        tools.create("mallet,cuont=3")
    with pytest.raises(ConfigurationError, match="count='many' does not fit"):
        tools.create("mallet,count=many")


def test_a_default_that_no_constructor_takes_is_left_out_and_what_a_user_wrote_is_refused(tools):
    plugin = tools.create("drill,size=3", {"count": 5})
    assert (plugin.arguments, plugin.left_out) == ({"size": 3}, ("count",))
    with pytest.raises(UnknownNameError, match="argument of tool 'drill' 'count'"):
        tools.create("drill,size=3,count=5")


def test_a_module_that_fails_says_why(tools, tmp_path, monkeypatch):
    (tmp_path / "failing_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match=r"'failing_module' could not be imported: ZeroDivisionError"):
        tools.create("failing_module:Saw")


@pytest.mark.parametrize("value", ["caf\udce9", "nan", "inf"])
def test_arguments_that_no_result_can_record_are_refused(tools, value):
    """A command line that is not UTF-8 reaches here as lone surrogates."""

    class Loose(Hammer):
        name = "loose"

        def __init__(self, *, path: Path = Path(), level: float = 1.0):
            pass

    tools.register(Loose)
    argument = f"path={value}" if value.startswith("caf") else f"level={value}"
    with pytest.raises(ConfigurationError, match="a label or an argument that no result can record") as refusal:
        tools.create(f"loose,{argument}")
    assert str(refusal.value).encode()


def test_a_constructor_that_fails_is_a_plugin_error(tools):
    class Fragile(Hammer):
        name = "fragile"

        def __init__(self):
            raise RuntimeError("broken")

    tools.register(Fragile)
    with pytest.raises(PluginError, match="could not be built: RuntimeError"):
        tools.create("fragile")


def test_a_folder_of_images_stands_for_an_attack(tmp_path):
    write_image(tmp_path / "fox.png", random_images(1))
    plugin = ATTACKS.create(f"{tmp_path},budget=4/255")
    assert (plugin.name, plugin.label) == ("folder", f"{tmp_path},budget=4/255")
    assert str(plugin.declared.budget) == "4/255"
    before = plugin.inputs
    write_image(tmp_path / "fox.png", random_images(1, seed=1))
    assert ATTACKS.create(str(tmp_path)).inputs != before


def test_a_folder_of_images_is_read_whatever_case_and_accents_its_names_have(tmp_path):
    image = random_images(1)
    write_image(tmp_path / f"{unicodedata.normalize('NFD', 'café')}.PNG", image)
    (tmp_path / "._fox.png").write_bytes(b"no image")
    batch = AttackBatch(image, image[:, :1] * 0, None, ("café",), InpaintEditor(), EditSettings())
    attack = ATTACKS.create(str(tmp_path)).instance
    assert torch.equal(attack.perturb(tiny_model(), batch, CaseGenerators.from_seeds([0])), image)


def test_the_example_runs_from_its_file_and_keeps_its_budget():
    plugin = ATTACKS.create(f"{EXAMPLE / 'checkerboard_attack.py'}:CheckerboardAttack,budget=8/255,square=2")
    model, images, masks = tiny_model(), random_images(2), half_masks(2)
    batch = AttackBatch(images, masks, None, ("fox", "owl"), InpaintEditor(), EditSettings())
    finished = immunize(plugin.instance, model, batch, CaseGenerators.from_seeds([0, 1]), CostMeter(model))
    change = (torch.cat([decode_png(immunized.png) for immunized in finished]) - images) * 255
    assert change.abs().max().round() == 8
    assert (change * masks).abs().max() == 0


def test_the_example_package_installs_and_is_on_the_list(tmp_path):
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            tmp_path,
            EXAMPLE,
        ],
        check=True,
    )
    command = (
        "from photoguard_eval import ATTACKS; p = ATTACKS.create('checkerboard,square=2'); print(p.source, p.label)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(tmp_path)}
    )
    assert done.stdout.strip() == "checkerboard-attack 1.0.0 checkerboard,square=2", done.stderr
