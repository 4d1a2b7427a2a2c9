"""Plug-ins that are given as classes and as instances, rather than named."""

import dataclasses
from pathlib import Path

import pytest

from photoguard_eval.attacks import ATTACKS, Ball, EncoderAttack
from photoguard_eval.errors import ConfigurationError, PluginError
from photoguard_eval.plugins.registry import Registry
from photoguard_eval.purifiers import PURIFIERS, BlurPurifier
from tests.plugins.test_registry import Drill, Hammer, Tool


@dataclasses.dataclass(frozen=True)
class Bound:
    levels: int

    def __str__(self):
        return f"{self.levels}/255"


class Keeping(Tool):
    """Keeps what it is given."""

    name = "keeping"

    def __init__(self, *, size: int, weight: float = 0.5, quick=False, path: Path = Path("here"), bound=Bound(16)):
        self.size, self.weight, self.quick, self.path, self.bound = size, weight, quick, path, bound

    def use(self):
        return self.size


@pytest.fixture
def tools():
    registry = Registry("tool", Tool, "photoguard_eval.test_tools")
    registry.register(Hammer)
    return registry


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (Keeping(size=3), "keeping,size=3"),
        (Keeping(size=3, weight=1, quick=True), "keeping,size=3,weight=1.0,quick=true"),
        (Keeping(size=3, path=Path("there"), bound=Bound(8)), "keeping,size=3,path=there,bound=8/255"),
        (Hammer(count=7), "hammer,count=7"),
        (Hammer(), "hammer"),
        (Hammer, "hammer"),
    ],
)
def test_an_object_is_labelled_as_a_spec_would_be(tools, given, label):
    plugin = tools.create(given)
    assert plugin.label == label
    assert tools.find(given) is type(plugin.instance)


def test_an_object_and_its_spec_are_the_same_plug_in(tools):
    tools.register(Keeping)
    named, given = tools.create("keeping,size=3,weight=1"), tools.create(Keeping(size=3, weight=1))
    texts = {"instance": None, "label": "", "row_label": ""}
    assert dataclasses.replace(given, **texts) == dataclasses.replace(named, **texts)
    assert tools.create(given.label).arguments == given.arguments


def test_a_row_is_called_by_the_label_without_what_has_an_axis_of_its_own():
    given = [EncoderAttack(steps=2, budget=Ball.parse("8/255")), "encoder,budget=8/255,steps=2", "encoder,steps=2"]
    assert {ATTACKS.create(one).row_label for one in given} == {"encoder,steps=2"}
    assert ["budget=8/255" in ATTACKS.create(one).label for one in given] == [True, True, False]


def test_defaults_of_a_preset_are_for_classes_and_not_for_instances(tools):
    assert tools.create(Hammer, {"count": 5}).arguments["count"] == 5
    whole = tools.create(Hammer(), {"count": 5, "size": 1})
    assert (whole.label, whole.arguments["count"], whole.left_out) == ("hammer,count=1", 1, ("size",))
    assert tools.create(Hammer(count=5), {"count": 5}).label == "hammer"


def test_a_later_change_of_an_instance_changes_nothing(tools):
    hammer = Hammer(count=2)
    plugin = tools.create(hammer)
    hammer.count = 100
    assert plugin.instance.use() == 1


class Forgetting(Hammer):
    name = "forgetting"

    def __init__(self, *, size: int = 1):
        super().__init__()


class Doubling(Hammer):
    name = "doubling"

    def __init__(self, *, count: int = 1):
        super().__init__(count=2 * count)


class Counting(Hammer):
    name = "counting"

    def __init__(self, *, count: int = 1):
        super().__init__(count=count)


def changed(tool, **attributes):
    vars(tool).update(attributes)
    return tool


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Forgetting(size=2), "does not keep its argument size, .* Keep it under its name, self.size = size"),
        (Doubling(count=3), "keeps its argument count changed: built with 6, it has 12"),
        (changed(Counting(), weight=9.0), "has weight = 9.0, and one that is built with the same arguments"),
        (Keeping(size=3, bound=object()), "has bound = <object object .*> *, which has no text"),
        (Keeping(size="many"), "size='many' does not fit"),
    ],
)
def test_an_instance_that_does_not_tell_what_it_is_is_refused(tools, given, message):
    with pytest.raises((PluginError, ConfigurationError), match=message):
        tools.create(given)


def test_get_params_goes_before_attributes(tools):
    class Asked(Forgetting):
        name = "asked"

        def __init__(self, *, size: int = 1):
            super().__init__()
            self._size = size

        def get_params(self):
            return {"size": self._size}

    assert tools.create(Asked(size=4)).label == "asked,size=4"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (BlurPurifier, "The class BlurPurifier is no tool. Expected a name with arguments such as 'hammer,"),
        (
            BlurPurifier(),
            "object of the class BlurPurifier is no tool.* a class that derives from photoguard_eval.Tool",
        ),
        (7, "The object of the class int is no tool"),
        (None, "The object of the class NoneType is no tool"),
        (Tool, "has name = ''"),
    ],
)
def test_what_is_of_another_kind_is_refused(tools, given, message):
    for ask in (tools.create, tools.find):
        with pytest.raises(PluginError, match=message):
            ask(given)


def test_what_any_process_can_load_is_told_from_what_only_this_one_has(tools):
    class Local(Hammer):
        name = "local"

    assert tools.create(Drill(size=1)).foreign
    assert not tools.create(Local).foreign
    assert tools.create(Drill(size=1)).source == Drill.__module__
    own = PURIFIERS.create(BlurPurifier(size=3))
    assert (own.source, own.foreign, own.label) == ("photoguard_eval", False, "blur,size=3")


def test_every_purifier_of_the_package_is_read_back():
    for name, factory in PURIFIERS.classes().items():
        given, named = PURIFIERS.create(factory()), PURIFIERS.create(name)
        assert (given.label, given.arguments) == (named.label, named.arguments)
