"""What a class must be to plug in, which is checked when it registers."""

import functools
from abc import ABC, abstractmethod

import pytest

from photoguard_eval.attacks import ATTACKS, Attack, GradientAttack, NoiseAttack
from photoguard_eval.diffusion import EDITORS, Img2ImgEditor
from photoguard_eval.errors import PluginError
from photoguard_eval.metrics import METRICS, PairwiseMetric
from photoguard_eval.plugins.contract import require_plugin_class
from photoguard_eval.plugins.registry import Registry
from photoguard_eval.purifiers import PURIFIERS, Purifier

KINDS = {"attack": ATTACKS, "editor": EDITORS, "metric": METRICS, "purifier": PURIFIERS}


class Kettle(ABC):
    name = ""

    @abstractmethod
    def boil(self, water, degrees=100):
        """The contract."""

    def whistle(self, note):
        return note


def check(**content):
    require_plugin_class(type("Mine", (Kettle,), {"name": "mine", **content}), "kettle", Kettle, "Mine")


def plain(self, water, degrees=100): ...
def with_more(self, water, degrees=100, *, lid=True, **options): ...
def with_any(self, *water, **options): ...
def by_name(self, water, *, degrees=100): ...
def of_class(cls, water, degrees=100): ...
def renamed(self, tea, degrees=100): ...
def turned(self, degrees, water): ...
def short(self, water): ...
def longer(self, water, degrees, lid): ...
def only_by_name(self, *, water, degrees=100): ...


@functools.wraps(plain)
def wrapped(*arguments, **options): ...


@pytest.mark.parametrize("method", [plain, with_more, with_any, by_name, wrapped, classmethod(of_class)])
def test_methods_that_take_what_they_are_given_are_accepted(method):
    check(boil=method)


@pytest.mark.parametrize(
    ("method", "own"),
    [
        (renamed, "(tea, degrees=100)"),
        (turned, "(degrees, water)"),
        (short, "(water)"),
        (longer, "(water, degrees, lid)"),
        (only_by_name, "(*, water, degrees=100)"),
        (staticmethod(plain), "(self, water, degrees=100)"),
    ],
)
def test_other_arguments_are_refused_with_both_signatures(method, own):
    with pytest.raises(PluginError) as refusal:
        check(boil=method)
    assert f"'mine' (Mine) has boil{own}, and is called as boil(water, degrees=100)" in str(refusal.value)


def test_what_is_no_method_and_what_is_missing_is_refused():
    with pytest.raises(PluginError, match=r"has boil = 3\. Expected a method boil\(water, degrees=100\)"):
        check(boil=3)
    with pytest.raises(PluginError, match=r"lacks a method\. Define boil\(water, degrees=100\)"):
        check()


def test_a_method_that_may_be_left_out_is_held_to_its_arguments_too():
    check(boil=plain, whistle=lambda self, note: None, _private=renamed, more=renamed)
    with pytest.raises(PluginError, match=r"has whistle\(\), and is called as whistle\(note\)"):
        check(boil=plain, whistle=lambda self: None)


@pytest.mark.parametrize(
    ("kind", "base", "method", "expected"),
    [
        ("attack", Attack, "perturb", r"perturb\(model, batch, generator\)"),
        ("attack", GradientAttack, "objective", r"objective\(model, batch, generator\)"),
        ("attack", NoiseAttack, "require_support", r"require_support\(model, editor, sizes\)"),
        ("metric", PairwiseMetric, "compute", r"compute\(edited, reference, masks, case_ids\)"),
        ("metric", PairwiseMetric, "_scores", r"_scores\(edited, reference, masks\)"),
        ("editor", Img2ImgEditor, "edit", r"edit\(model, images, masks, prompts, seeds, settings, originals=None\)"),
        ("purifier", Purifier, "purify", r"purify\(images, generators\)"),
    ],
)
def test_each_kind_of_plug_in_is_held_to_its_contract(kind, base, method, expected):
    factory = type("Mine", (base,), {"name": "mine", method: lambda self, picture: picture})
    with pytest.raises(PluginError, match=rf"{kind} 'mine' \(Mine\) has {method}\(picture\), .* {expected}"):
        KINDS[kind].register(factory)
    assert KINDS[kind].registered("mine") is None


def test_a_class_from_a_file_is_checked_before_it_is_built(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from photoguard_eval import Attack\n"
        "class Mine(Attack):\n    name = 'mine'\n"
        "    def __init__(self):\n        raise RuntimeError\n"
        "    def perturb(self, model, images): ...\n"
    )
    with pytest.raises(PluginError, match=r"\(.*mine\.py:Mine\) has perturb\(model, images\)"):
        ATTACKS.create(f"{tmp_path / 'mine.py'}:Mine")


def test_an_instance_is_no_class_to_register():
    with pytest.raises(PluginError, match=r"not a subclass of Kettle\. Register its class"):
        Registry("kettle", Kettle, "nowhere").register(type("Mine", (Kettle,), {"name": "mine", "boil": plain})())
