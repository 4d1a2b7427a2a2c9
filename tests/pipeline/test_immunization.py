"""What an immunized image is known by, and that the command's is the board's own."""

from dataclasses import fields, replace

import pytest

from photoguard_eval.attacks import NoiseAttack
from photoguard_eval.diffusion import EDITORS, EditSettings
from photoguard_eval.images.arrays import write_image
from photoguard_eval.pipeline.attacks import create_attack
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.immunization import Photograph, Recipe, immunize_photographs
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.presets import find_preset
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.steps.keys import Editing, Placement
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.worker import Worker
from tests.tiny import random_images


@pytest.fixture
def photograph(tmp_path):
    write_image(tmp_path / "image.png", random_images(1))
    return Photograph(tmp_path / "image.png", None, tmp_path / "immunized.png")


@pytest.fixture(scope="module")
def plan(make_request):
    return build_plan(make_request())


@pytest.fixture
def recipe(plan):
    return recipe_of(plan, "encoder,steps=2", "img2img")


def recipe_of(plan, attack, editor):
    settings = find_preset("smoke").settings(editor, plan.model, {})
    editing = Editing(plan.model, Placement("float32"), EDITORS.create(editor), settings)
    return Recipe(create_attack(attack, find_preset("smoke")), editing, None, 0)


def key(recipe, photograph):
    return recipe.inputs(photograph).key


CHANGES = {"dtype": "float16", "device": "cuda", "vae_tiling": True, "cpu_offload": True, "compiled": True}


@pytest.mark.parametrize("name", [field.name for field in fields(Placement)])
def test_where_the_model_computes_changes_the_key(recipe, photograph, name):
    placement = replace(recipe.editing.placement, **{name: CHANGES[name]})
    changed = replace(recipe, editing=replace(recipe.editing, placement=placement))
    assert key(changed, photograph) != key(recipe, photograph) == key(recipe, photograph)


def test_what_changes_the_numbers_changes_the_key(recipe, photograph):
    editing = recipe.editing
    changes = [
        {"seed": 1},
        {"editing": replace(editing, settings=editing.settings.changed(strength=0.7))},
        {"editing": replace(editing, editor=replace(editing.editor, fingerprint="changed code"))},
        {"attack": replace(recipe.attack, fingerprint="changed code")},
    ]
    keys = [key(replace(recipe, **change), photograph) for change in ({}, *changes)]
    assert len(set(keys)) == len(keys)


def test_other_libraries_make_other_images(recipe, photograph, monkeypatch):
    before = key(recipe, photograph)
    monkeypatch.setattr(
        "photoguard_eval.pipeline.steps.immunize.library_versions", lambda names: dict.fromkeys(names, "0")
    )
    assert key(recipe, photograph) != before


def test_an_image_is_immunized_as_on_the_board(make_request, tmp_path):
    """Alone, bit by bit: sign gradients amplify that rounding depends on how many images run at once."""
    attacks = ("noise", "encoder,steps=2")
    plan, store = build_plan(make_request(attacks=attacks, batch_size=1)), Store(tmp_path / "store")
    evaluation = Evaluation(plan, store, Progress(quiet=True))
    for row in plan.attack_rows:
        task = row.immunize[0]
        evaluation.compute([replace(row, immunize=(task,), edits=())])
        mask = task.case.mask_path if row.editor == "inpaint" else None
        photograph = Photograph(task.case.image_path, mask, tmp_path / "immunized.png")
        recipe = recipe_of(plan, row.label, row.editor)
        worker = Worker(plan.session)
        (facts,) = immunize_photographs([photograph], recipe, worker, Progress(quiet=True))
        assert photograph.output.read_bytes() == store.image(task.key)
        assert facts["key"] == task.key


def test_an_attack_is_given_no_setting_that_its_key_lacks(make_request, tmp_path, monkeypatch):
    given, perturb = [], NoiseAttack.perturb

    def reading(attack, model, batch, generator):
        given.append(batch.settings)
        return perturb(attack, model, batch, generator)

    monkeypatch.setattr(NoiseAttack, "perturb", reading)
    settings = {"composite": "immunized", "strength": "0.7", "image_guidance_scale": "2", "eta": "0"}
    plan = build_plan(make_request(attacks=("noise",), settings=settings))
    evaluation = Evaluation(plan, Store(tmp_path / "store"), Progress(quiet=True))
    evaluation.compute([replace(row, edits=()) for row in plan.attack_rows])
    assert given == [
        EditSettings(num_inference_steps=4, eta=0),
        EditSettings(num_inference_steps=4, eta=0, strength=0.7),
    ]
