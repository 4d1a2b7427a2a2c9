"""Parameters of attacks, declared once, as fields; and constructors of authors beside them."""

from dataclasses import replace
from typing import Annotated, Literal

import pytest
from pydantic import Field

from photoguard_eval.attacks import ATTACKS, Attack, Ball, EncoderAttack, GradientAttack, MistAttack, parameters
from photoguard_eval.attacks.fields import NonNegativeFloat, PositiveInt
from photoguard_eval.errors import ConfigurationError, PluginError
from photoguard_eval.plugins.constructors import constructor_arguments


class Still(Attack):
    name = "still"

    def perturb(self, model, batch, generator):
        return batch.images


@parameters
class Declared(Still):
    name = "declared"

    square: PositiveInt = 1
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    weight: NonNegativeFloat = 1.0
    mode: Literal["soft", "hard"] = "soft"
    side: int | None = None
    helper = "no parameter"


class Own(GradientAttack):
    name = "own"

    def __init__(self, *, square: int = 2, **options):
        super().__init__(steps=7, **options)
        self.square = square

    def objective(self, model, batch, generator):
        raise NotImplementedError


def test_fields_are_the_arguments_with_types_and_defaults():
    arguments = constructor_arguments(Declared)
    assert {name: argument.default for name, argument in arguments.items()} == {
        "budget": None, "square": 1, "share": 0.5, "weight": 1.0, "mode": "soft", "side": None
    }  # fmt: skip
    assert (arguments["square"].annotation, arguments["share"].annotation) == (int, float)
    attack = Declared(square="3", side=4)
    assert (attack.square, attack.share, attack.side, attack.helper) == (3, 0.5, 4, "no parameter")
    assert replace(attack, square=5).square == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"square": 0}, "square is 0; expected more than 0"),
        ({"square": 1.5}, r"square is 1\.5; expected a valid integer"),
        ({"square": "many"}, "square is 'many'; expected a valid integer"),
        ({"share": 1}, "share is 1; expected less than 1"),
        ({"share": -0.1}, r"share is -0\.1; expected 0 or more"),
        ({"weight": float("inf")}, "weight is inf; expected a finite number"),
        ({"mode": "loud"}, "mode is 'loud'; expected 'soft' or 'hard'"),
        ({"budget": "16"}, "Did you mean 16/255"),
        ({"budget": []}, r"budget is \[\]; expected"),
        ({"epsilon": 8 / 255}, "no parameter epsilon. Write budget=8/255, or budget=l2:8/255"),
        ({"norm": "l2"}, "no parameter norm. Write budget=8/255, or budget=l2:8/255"),
    ],
)
def test_values_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ConfigurationError, match=message):
        Declared(**given)


@pytest.mark.parametrize("budget", ["8/255", 8 / 255, Ball("linf", 8 / 255)])
def test_a_budget_of_its_own_is_kept_as_a_value(budget):
    assert Declared(budget=budget).budget == Ball("linf", 8 / 255)


def test_a_constructor_of_an_author_works_beside_them():
    assert set(constructor_arguments(Own)) == {"square", "budget", "step_size", "random_start", "decay"}
    attack = Own(square=3, decay=True, budget="l2:2/255")
    assert (attack.square, attack.steps, attack.decay, attack.gradient_evaluations) == (3, 7, True, 7)
    assert attack.budget == Ball("l2", 2 / 255)
    with pytest.raises(ConfigurationError, match="Write budget=8/255"):
        Own(epsilon=0.1)


def test_a_subclass_states_another_default_and_inherits_the_range():
    assert (MistAttack().prompt, MistAttack(steps=3).gradient_evaluations) == ("a painting", 3)
    with pytest.raises(ConfigurationError, match="steps is 0"):
        MistAttack(steps=0)


def test_a_constructor_that_would_not_be_called_is_refused():
    with pytest.raises(PluginError, match="Own has a constructor of its own, which would not be called"):
        parameters(type("Child", (Own,), {"name": "child", "__annotations__": {"side": int}, "side": 1}))


def test_a_default_that_no_constructor_sees_is_refused():
    class Bare(EncoderAttack):
        name = "bare"
        steps = 5

    with pytest.raises(PluginError, match="sets steps, which its constructor does not see"):
        Bare()


def test_an_annotation_that_is_not_there_when_the_program_runs_is_explained():
    with pytest.raises(PluginError, match=r"annotation Nowhere of Child\.side cannot be read"):
        parameters(type("Child", (Still,), {"name": "child", "__annotations__": {"side": "Nowhere"}, "side": 1}))


@pytest.mark.parametrize("name", sorted(set(ATTACKS.names()) - {"folder"}))
def test_every_attack_of_the_package_is_read_back(name):
    named = ATTACKS.create(f"{name},budget=8/255")
    given = ATTACKS.create(named.instance)
    assert (given.label, given.declared) == (f"{name},budget=8/255", named.declared)
    assert {**given.arguments, "budget": ""} == {**named.arguments, "budget": ""}


@pytest.mark.parametrize("name", ATTACKS.names())
def test_every_parameter_is_described_in_the_class(name):
    factory = ATTACKS.find(name)
    if "__init__" in vars(factory) and not hasattr(vars(factory)["__init__"], "declared"):
        described = factory.__init__.__doc__
    else:
        described = "".join(base.__doc__ or "" for base in factory.__mro__)
    for argument in constructor_arguments(factory):
        assert f"{argument}: " in described
