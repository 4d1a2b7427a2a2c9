import json
import shutil
from pathlib import Path

import pytest

from photoguard_eval import resources
from photoguard_eval.attacks import ATTACKS, Attack
from photoguard_eval.diffusion import EditSettings, ModelIdentity
from photoguard_eval.diffusion.checkpoints.hub import PUBLISHED
from photoguard_eval.errors import ConfigurationError, DuplicateNameError, ModelError, UnknownNameError
from photoguard_eval.pipeline.attacks import create_attack, notes_on
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.presets import find_preset
from photoguard_eval.pipeline.seeds import reroll_seed
from photoguard_eval.pipeline.steps.immunize import ATTACK_CODE


def keys(plan):
    return {(method.label, method.editor): [cell.key for cell in method.edits] for method in plan.rows}


def test_the_same_request_has_the_same_keys(make_request):
    assert keys(build_plan(make_request())) == keys(build_plan(make_request()))
    assert build_plan(make_request()).id == build_plan(make_request()).id


def test_prompts_of_an_image_share_its_immunized_version(make_request):
    plan = build_plan(make_request())
    for method in plan.attack_rows:
        assert len(method.edits) == 3
        assert len(method.immunize) == 2


def test_an_attack_that_sees_the_prompt_gets_one_image_per_prompt(make_request, tmp_path):
    (tmp_path / "sees.py").write_text(
        "from photoguard_eval import Attack\n"
        "class Sees(Attack):\n    name = 'sees'\n    sees_prompt = True\n"
        "    def perturb(self, model, batch, generator):\n        return batch.images\n"
    )
    plan = build_plan(make_request(attacks=(f"{tmp_path / 'sees.py'}:Sees",)))
    assert [len(method.immunize) for method in plan.attack_rows] == [3, 3]


@pytest.mark.parametrize(
    ("change", "originals_change"),
    [
        ({"attacks": ("noise", "encoder,steps=5", "diffusion,steps=2")}, False),
        ({"seed": 1}, False),
        ({"dtype": "bfloat16"}, True),
        ({"vae_tiling": True}, True),
        ({"cpu_offload": True}, True),
        ({"compiled": True}, True),
        ({"checkpointing": False}, False),
        ({"settings": {"guidance_scale": "7.5"}}, False),
    ],
)
def test_a_changed_request_changes_just_what_it_touches(make_request, change, originals_change):
    before, after = keys(build_plan(make_request())), keys(build_plan(make_request(**change)))
    same = {name for name in before if before[name] == after.get(name)}
    assert (("original", "inpaint") not in same) == originals_change
    if "attacks" in change:
        assert same == {row for row in before if not row[0].startswith("encoder")}


EVERY_STAGE = {"original", "immunized", "edit"}


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("composite=immunized", {"inpaint": {"edit"}}),
        ("strength=0.7", {"img2img": EVERY_STAGE}),
        ("image_guidance_scale=2", {}),
        ("sample_latents=false", {"inpaint": EVERY_STAGE, "img2img": EVERY_STAGE}),
        ("guidance_scale=5", {"inpaint": EVERY_STAGE, "img2img": EVERY_STAGE}),
        ("num_inference_steps=3", {"inpaint": EVERY_STAGE, "img2img": EVERY_STAGE}),
        ("eta=0", {"inpaint": EVERY_STAGE, "img2img": EVERY_STAGE}),
    ],
)
def test_a_changed_setting_costs_the_work_that_it_affects_and_no_other(make_request, setting, changed):
    def stages(plan):
        found = {}
        for method in (*plan.originals, *plan.attack_rows):
            found.setdefault((method.editor, "edit" if method.attack else "original"), []).extend(method.edits)
            found.setdefault((method.editor, "immunized"), []).extend(method.immunize)
        # An edit's key holds that of the image that it edits.
        return {stage: [cell.key for cell in cells] for stage, cells in found.items()}

    name, _, value = setting.partition("=")
    plan = build_plan(make_request(settings={name: value}))
    before, after = stages(build_plan(make_request())), stages(plan)
    expected = {(editor, stage) for editor, stages_of in changed.items() for stage in stages_of}
    assert {stage for stage in before if before[stage] != after[stage]} == expected
    assert plan.changed_settings == ((name,) if changed else ())


def test_an_added_attack_changes_no_other_cell(make_request):
    before = keys(build_plan(make_request(attacks=("noise",))))
    after = keys(build_plan(make_request(attacks=("noise", "encoder"))))
    assert {name: after[name] for name in before} == before


def test_the_mask_counts_only_where_it_is_read(make_request, small_dataset, tmp_path):
    folder = shutil.copytree(small_dataset, tmp_path / "small")
    masks = sorted((folder / "masks").glob("*.png"))
    before = build_plan(make_request(dataset=str(folder)))
    shutil.copy(masks[0], masks[1])
    rows = (folder / "metadata.jsonl").read_text()
    from photoguard_eval.files import sha256_of_file

    digest = sha256_of_file(masks[1])
    lines = [json.loads(line) for line in rows.splitlines()]
    for row in lines:
        row["mask_sha256"] = digest
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    after = build_plan(make_request(dataset=str(folder)))

    def immunized(plan, editor):
        return {cell.key for method in plan.attack_rows if method.editor == editor for cell in method.immunize}

    assert immunized(before, "img2img") == immunized(after, "img2img")
    assert immunized(before, "inpaint") != immunized(after, "inpaint")


def reroll_seeds(plan, editor):
    (method,) = (method for method in plan.rerolls if method.editor == editor)
    return {cell.case.id: cell.seed for cell in method.edits}


def test_originals_are_edited_with_another_seed_that_belongs_to_the_dataset(make_request):
    plan = build_plan(make_request())
    seeds = {editor: reroll_seeds(plan, editor) for editor in plan.editors}
    assert len({seed for own in seeds.values() for seed in own.values()}) == 2 * len(plan.cases), "one for each"
    for editor, planned in plan.editors.items():
        assert all(seeds[editor][case.id] != planned.seeds.seed(case) for case in plan.cases)
        other = build_plan(make_request(seed=5, attacks=("noise",), settings={"guidance_scale": "3"}))
        assert reroll_seeds(other, editor) == seeds[editor], "whatever else is asked for"
    assert {cell.immunized for method in plan.rerolls for cell in method.edits} == {""}


def test_another_seed_is_never_the_case_s_own():
    other = reroll_seed("dog-0", "inpaint", 3)
    again = reroll_seed("dog-0", "inpaint", other)
    assert again != other
    assert reroll_seed("dog-0", "inpaint", 4) == other, "and does not depend on it"
    assert reroll_seed("dog-0", "img2img", 3) != other


@pytest.mark.parametrize("name", ["original", "re-roll"])
def test_an_attack_that_has_the_name_of_a_row_of_unprotected_images_is_refused(make_request, tmp_path, name):
    (tmp_path / "mine.py").write_text(
        f"from photoguard_eval import Attack\nclass Mine(Attack):\n    name = {name!r}\n"
        "    def perturb(self, model, batch, generator):\n        return batch.images\n"
    )
    with pytest.raises(DuplicateNameError, match=f"named '{name}', as a row of unprotected images is. Rename it"):
        build_plan(make_request(attacks=(f"{tmp_path / 'mine.py'}:Mine",)))


FIRST_ATTACK = """
from photoguard_eval.attacks import GradientAttack

class First(GradientAttack):
    name = "first"

    def __init__(self, weight=1.0{parameters}):
        super().__init__({handed_on})
        self.weight = weight

    def objective(self, model, batch, generator):
        return lambda images: self.weight * model.encode(images).square().flatten(1).mean(dim=1)
"""


@pytest.mark.parametrize(
    ("parameters", "handed_on", "steps", "note"),
    [
        ("", "", 4, ""),
        (", **options", "**options", 4, ""),
        (", *, steps=50", "steps=steps", 4, ""),
        ("", "steps=50", 50, "first,weight=2 does not take steps of the preset 'smoke' and runs with 50 steps"),
    ],
)
def test_a_gradient_attack_with_a_constructor_of_its_own_runs_as_long_as_others(
    tmp_path, parameters, handed_on, steps, note
):
    (tmp_path / "first.py").write_text(FIRST_ATTACK.format(parameters=parameters, handed_on=handed_on))
    preset = find_preset("smoke")
    attack = create_attack(f"{tmp_path / 'first.py'}:First,weight=2", preset)
    assert (attack.instance.steps, attack.instance.gradient_evaluations, attack.instance.weight) == (steps, steps, 2)
    assert attack.arguments.get("steps", 50) == steps, "which is in the key"
    assert " ".join(notes_on(attack, preset)).startswith(note)
    assert bool(notes_on(attack, preset)) == bool(note)
    with pytest.raises(UnknownNameError, match="argument of attack 'first' 'wieght'"):
        create_attack(f"{tmp_path / 'first.py'}:First,wieght=2", preset)


def test_a_spec_given_twice_counts_once(make_request):
    plan = build_plan(make_request(attacks=("noise", "noise")))
    assert [attack.label for attack in plan.attacks] == ["noise"]


def test_a_budget_of_an_attack_s_own_is_an_axis_of_its_rows_and_no_part_of_their_name(make_request):
    plan = build_plan(make_request(attacks=("noise", "noise,budget=8/255", "encoder,steps=2,budget=8/255")))
    assert [attack.label for attack in plan.attacks] == ["noise", "noise,budget=8/255", "encoder,steps=2,budget=8/255"]
    rows = [row.id for row in plan.attack_rows if row.editor == "inpaint"]
    assert [(row.attack, str(row.budget)) for row in rows] == [
        ("noise", "16/255"),
        ("noise", "8/255"),
        ("encoder,steps=2", "8/255"),
    ]


def test_the_same_budget_written_twice_counts_once(make_request):
    plan = build_plan(make_request(attacks=("noise", "noise,budget=16/255", "noise,budget=0.0627451")))
    assert [attack.label for attack in plan.attacks] == ["noise"]


def test_each_attack_has_a_row_for_each_budget_and_one_of_its_own_that_alone(make_request):
    attacks = ("noise", "noise,budget=8/255", "encoder,budget=4/255")
    plan = build_plan(make_request(attacks=attacks, budgets=("16/255", "8/255")))
    rows = [(row.id.attack, str(row.id.budget)) for row in plan.attack_rows if row.editor == "inpaint"]
    assert rows == [("noise", "16/255"), ("noise", "8/255"), ("encoder", "4/255")]
    assert [attack.label for attack in plan.attacks] == list(attacks)


def test_two_attacks_of_one_label_are_refused(make_request, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(
            f"from photoguard_eval import Attack\nclass Mine(Attack):\n    name = 'mine'\n    # {name}\n"
            "    def perturb(self, model, batch, generator):\n        return batch.images\n"
        )
    specs = tuple(f"{tmp_path / name}.py:Mine" for name in ("a", "b"))
    with pytest.raises(DuplicateNameError, match="Two attacks are named 'mine'"):
        build_plan(make_request(attacks=specs))


def test_changed_settings_are_those_that_differ_from_the_preset(make_request):
    plan = build_plan(make_request(settings={"guidance_scale": "7.5", "num_inference_steps": "3"}))
    assert plan.changed_settings == ("num_inference_steps",)
    assert {planned.settings.num_inference_steps for planned in plan.editors.values()} == {3}


def test_a_checkpoint_of_few_steps_prescribes_its_settings(make_request, tmp_path):
    folder = shutil.copytree(resources.embedded_checkpoints()["inpaint-a"], tmp_path / "consistency")
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "time_cond_proj_dim": 16}))
    plan = build_plan(make_request(model=str(folder), preset="paper", extractor="embedded", clip="embedded"))
    assert plan.editors["inpaint"].settings == EditSettings(num_inference_steps=4)
    assert plan.changed_settings == ()
    turbo = ModelIdentity("", folder, "", "", "text-to-image", settings=PUBLISHED["stabilityai/sd-turbo"].settings)
    settings = find_preset("paper").settings("inpaint", turbo, {"eta": "0"})
    assert settings == EditSettings(num_inference_steps=4, guidance_scale=1, eta=0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"preset": "papr"}, UnknownNameError, "Did you mean 'paper'"),
        ({"model": "inpaint"}, UnknownNameError, "Did you mean 'inpaint-b' or 'inpaint-a'"),
        ({"model": "/nowhere/model"}, UnknownNameError, "diffusers folder or a safetensors file that exists"),
        ({"dataset": "emoji"}, UnknownNameError, "emoji-scenes"),
        ({"attacks": ("nois",)}, UnknownNameError, "Did you mean 'noise'"),
        ({"attacks": ()}, ConfigurationError, "No attack was named"),
        ({"dataset": "photos"}, ConfigurationError, r"trained on images of 64 × 64, .* is 512 × 512.* --side 64"),
        ({"batch_size": 0}, ConfigurationError, "batch size is 0"),
        ({"workers": 0}, ConfigurationError, "number of workers is 0"),
        ({"settings": {"composite": "both"}}, ConfigurationError, "composite='both'"),
        ({"settings": {"guidance": "5"}}, ConfigurationError, "guidance='5' is no setting"),
    ],
)
def test_bad_requests_are_refused(make_request, change, error, message):
    with pytest.raises(error, match=message):
        build_plan(make_request(**change))


def test_a_folder_that_is_no_model_is_refused(make_request, tmp_path):
    with pytest.raises(ModelError, match=r"model_index\.json, vae, unet"):
        build_plan(make_request(model=str(tmp_path)))


def test_every_registered_attack_has_a_paper_or_says_what_it_is():
    for name, attack in ATTACKS.classes().items():
        assert issubclass(attack, Attack)
        assert attack.paper or name == "folder"


def test_every_file_that_an_attack_is_made_of_is_in_its_key():
    """A file is hashed with the classes in it, or by name for all attacks."""
    bases = [base for factory in ATTACKS.classes().values() for base in factory.__mro__]
    classes = {f"{base.__module__.rpartition('.')[2]}.py" for base in bases}
    named = {Path(part).name for part in ATTACK_CODE if part.startswith("attacks/")}
    files = {path.name for path in (resources.PACKAGE / "attacks").glob("*.py")} - {"__init__.py"}
    assert files <= classes | named
