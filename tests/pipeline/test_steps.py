"""What each image depends on: every field of its inputs changes the keys that it should, and no other."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from photoguard_eval.attacks import Ball
from photoguard_eval.code import sha256_of_code
from photoguard_eval.errors import DatasetError
from photoguard_eval.images.arrays import decode_png, to_8bit, write_image
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.steps import edit, immunize
from photoguard_eval.pipeline.steps.edit import EditInputs
from photoguard_eval.pipeline.steps.immunize import ImmunizeInputs
from photoguard_eval.pipeline.steps.keys import Editing, PictureFile, Placement
from photoguard_eval.pipeline.steps.score import ScoredCase, ScoreInputs
from photoguard_eval.pipeline.store import Store
from tests.tiny import random_images


@pytest.fixture(scope="module")
def rows(make_request):
    plan = build_plan(make_request(attacks=("noise", "dayn,steps=1")))
    return {(row.label, row.editor): row for row in plan.rows}


NOTHING_SPENT = {"seconds": 0, "gradient_evaluations": 0, "unet_calls": 0, "encoder_calls": 0, "peak_memory_mib": 0}
OTHER = PictureFile(Path("nowhere.png"), "0" * 64)

IMMUNIZE = {
    "attack": (lambda own: replace(own.attack, arguments={"other": 1}), True),
    "editing": (lambda own: replace(own.editing, settings=own.editing.settings.changed(eta=0)), True),
    "name": (lambda own: "another", True),
    "image": (lambda own: OTHER, True),
    "mask": (lambda own: OTHER, None),
    "prompt": (lambda own: "another prompt", None),
    "run_seed": (lambda own: 1, True),
    "budget": (lambda own: Ball("linf", 8 / 255), True),
    "trusted": (lambda own: True, True),
}
EDIT = {
    "editing": (lambda own: replace(own.editing, settings=own.editing.settings.changed(eta=0)), True),
    "name": (lambda own: "another", False),
    "original": (lambda own: OTHER, True),
    "mask": (lambda own: OTHER, None),
    "prompt": (lambda own: "another prompt", True),
    "seed": (lambda own: 99, True),
    "immunized": (lambda own: "0" * 64, True),
    "purified": (lambda own: "0" * 64, True),
}


@pytest.mark.parametrize("name", [field.name for field in fields(ImmunizeInputs)])
def test_every_input_of_an_immunized_image_is_in_its_key_if_the_attack_sees_it(rows, name):
    change, matters = IMMUNIZE[name]
    for (label, editor), row in rows.items():
        if row.attack is None:
            continue
        own = row.immunize[0].inputs
        sees = {"mask": editor == "inpaint", "prompt": label.startswith("dayn")}
        changed = replace(own, **{name: change(own)}).key != own.key
        assert changed == (sees[name] if matters is None else matters), (label, editor)


@pytest.mark.parametrize("name", [field.name for field in fields(EditInputs)])
def test_every_input_of_an_edit_is_in_its_key_but_for_its_name(rows, name):
    change, matters = EDIT[name]
    for (label, editor), row in rows.items():
        own = row.edits[0].inputs
        changed = replace(own, **{name: change(own)}).key != own.key
        assert changed == (editor == "inpaint" if matters is None else matters), (label, editor)


CHANGES = {"dtype": "float16", "device": "cuda", "vae_tiling": True, "cpu_offload": True, "compiled": True}


@pytest.mark.parametrize("name", [field.name for field in fields(Placement)])
def test_where_the_model_computes_is_in_all_keys(rows, name):
    for row in rows.values():
        for task in row.tasks[:1]:
            editing = task.inputs.editing
            other = replace(editing, placement=replace(editing.placement, **{name: CHANGES[name]}))
            assert replace(task.inputs, editing=other).key != task.inputs.key


@pytest.mark.parametrize("name", [field.name for field in fields(Editing)])
def test_how_images_are_edited_is_in_all_keys(rows, name):
    for row in rows.values():
        own = row.tasks[0].inputs
        changes = {
            "model": lambda editing: replace(editing.model, weights_sha256="0" * 64),
            "placement": lambda editing: replace(editing.placement, dtype="float16"),
            "editor": lambda editing: replace(editing.editor, fingerprint="other code"),
            "settings": lambda editing: editing.settings.changed(guidance_scale=3),
        }
        assert replace(own, editing=replace(own.editing, **{name: changes[name](own.editing)})).key != own.key


def test_work_that_came_over_a_wire_and_cannot_be_written_is_done_without_a_warning(rows, recwarn):
    tasks = rows["noise", "inpaint"].immunize
    work = immunize.gather([task.inputs for task in tasks], 3)
    for levels in (work.images, work.masks):
        levels.flags.writeable = False
    batch = immunize.attack_batch(work, tasks[0].inputs.editing.editor.instance)
    (artifact, *_) = immunize.seal(work, tasks[0].inputs.attack, batch.images, NOTHING_SPENT)
    assert (decode_png(artifact.png) == batch.images[:1]).all()
    assert not [warning for warning in recwarn if "not writable" in str(warning.message)]


CASE = {
    "name": ("another", False),
    "edit": ("0" * 64, True),
    "immunized": ("0" * 64, True),
    "counterpart": ("0" * 64, True),
    "original": (OTHER, True),
    "mask": (OTHER, True),
    "prompt": ("another prompt", True),
}
SCORE = {
    "column": (lambda own: "another", True),
    "metric": (lambda own: replace(own.metric, fingerprint="other code"), True),
    "subject": (lambda own: "immunized", True),
    "network": (lambda own: "another network", True),
    "cases": (lambda own: own.cases[:1], True),
}


@pytest.fixture(scope="module")
def scored(make_request, tmp_path_factory):
    plan = build_plan(make_request(attacks=("noise",)))
    scorer = Scorer(plan, Store(tmp_path_factory.mktemp("scored") / "store"))
    ssim = next(score for score in scorer.scores if score.name == "ssim")
    return scorer.inputs(plan.attack_rows[0], ssim), scorer.inputs(plan.attack_rows[1], ssim)


@pytest.mark.parametrize("name", [field.name for field in fields(ScoreInputs)])
def test_every_input_of_a_score_is_in_its_key(scored, name):
    own, (change, matters) = scored[0], SCORE[name]
    assert (replace(own, **{name: change(own)}).key != own.key) == matters


@pytest.mark.parametrize("name", [field.name for field in fields(ScoredCase)])
def test_all_that_a_score_sees_of_a_case_is_in_its_key_but_for_its_name(scored, name):
    own, (value, matters) = scored[0], CASE[name]
    first, *others = own.cases
    changed = replace(own, cases=(replace(first, **{name: value}), *others))
    assert (changed.key != own.key) == matters


def test_a_score_sees_the_mask_of_an_editor_that_reads_it(scored):
    inpainted, varied = scored
    assert all(case.mask is not None for case in inpainted.cases)
    assert all(case.mask is None for case in varied.cases)


@pytest.mark.parametrize("step", [immunize, edit])
@pytest.mark.parametrize("library", ["torch", "diffusers", "transformers", "pillow"])
def test_the_libraries_are_in_all_keys(rows, monkeypatch, step, library):
    from photoguard_eval.pipeline.steps import keys

    task = rows["noise", "inpaint"].tasks[0 if step is immunize else -1]
    before, versions = task.key, keys.library_versions
    monkeypatch.setattr(keys, "library_versions", lambda names: {**versions(names), library: "0"})
    assert replace(task.inputs).key != before


def test_comments_and_docstrings_are_in_no_key(tmp_path):
    code = 'def double(value):\n    """Double."""\n    return 2 * value\n'
    same = {
        "comment": "# Twice as much.\n" + code,
        "docstring": code.replace("Double.", "Return twice as much."),
        "none": code.replace('    """Double."""\n', ""),
        "layout": code.replace("2 * value", "(2\n        * value)"),
        "attribute": code + '\n\nLIMIT = 3\n"""How much."""\n',
    }
    for name, text in {"own": code, **same, "bare": code + "\n\nLIMIT = 3\n", "other": code.replace("2", "3")}.items():
        (tmp_path / f"{name}.py").write_text(text)
    own = sha256_of_code(tmp_path / "own.py")
    assert {sha256_of_code(tmp_path / f"{name}.py") for name in ("comment", "docstring", "none", "layout")} == {own}
    assert sha256_of_code(tmp_path / "attribute.py") == sha256_of_code(tmp_path / "bare.py") != own
    assert sha256_of_code(tmp_path / "other.py") != own
    (tmp_path / "broken.py").write_text("def (")
    assert len(sha256_of_code(tmp_path / "broken.py")) == 64


def test_a_file_that_was_changed_meanwhile_is_not_worked_on(tmp_path):
    write_image(tmp_path / "image.png", random_images(1))
    with pytest.raises(DatasetError, match=r"image\.png was changed while the run went on"):
        PictureFile(tmp_path / "image.png", "0" * 64).image()


def test_work_holds_the_pixels_of_the_files_and_the_seeds_of_the_inputs(rows):
    tasks = rows["noise", "inpaint"].immunize
    work = immunize.gather([task.inputs for task in tasks], 3)
    for image, task in zip(work.images, tasks, strict=True):
        assert (image == to_8bit(task.case.image())[0].numpy()).all()
    assert work.seeds == tuple(task.inputs.seed for task in tasks)
    assert set(work.masks.flatten().tolist()) == {0, 1}
    edits = rows["original", "inpaint"].edits
    assert (
        edit.gather([task.inputs for task in edits]).images == edit.gather([t.inputs for t in edits]).originals
    ).all()
