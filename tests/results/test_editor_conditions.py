"""Which editors a baseline and a result must share."""

import pytest

from photoguard_eval.results.conditions import Conditions, differing_condition

EDITORS = {"inpaint": {"eta": 1.0}, "img2img": {"eta": 1.0, "strength": 0.6}}


def conditions(editors):
    return Conditions(
        model="inpaint-a",
        weights_sha256="0" * 64,
        dataset="emoji-scenes",
        dataset_sha256="1" * 64,
        preset="ci",
        n=1,
        cases=("dog-0",),
        attack_seed=0,
        edit_seeds=dict.fromkeys(editors, (7,)),
        editors=editors,
        extractors={},
    )


def test_an_editor_that_was_not_recorded_is_not_compared():
    assert differing_condition(conditions(EDITORS), conditions({**EDITORS, "blur": {"eta": 0.5}})) == ""


@pytest.mark.parametrize("editors", [{"inpaint": {"eta": 1.0}}, {**EDITORS, "inpaint": {"eta": 0.5}}])
def test_an_editor_that_was_recorded_must_be_there_with_its_settings(editors):
    assert differing_condition(conditions(EDITORS), conditions(editors)).startswith("setting of the edits")
