"""Purified rows: a purifier is one class, and its rows are compared with purified originals."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from photoguard_eval import Purifier
from photoguard_eval.analysis.board_rows import leaderboard_rows
from photoguard_eval.analysis.claims import evaluate_claims
from photoguard_eval.analysis.gate import bless, check
from photoguard_eval.analysis.ranking import rank
from photoguard_eval.errors import ConfigurationError, DuplicateNameError, PluginError
from photoguard_eval.images.arrays import decode_png
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.forecast import forecast
from photoguard_eval.pipeline.luggage import packed, unpacked
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.purifiers import build_purifier
from photoguard_eval.pipeline.steps import purify
from photoguard_eval.pipeline.steps.keys import PictureFile
from photoguard_eval.pipeline.steps.purify import PurifyInputs
from photoguard_eval.pipeline.store import Store
from photoguard_eval.purifiers import PURIFIERS
from photoguard_eval.reports.pictures import StoreImages
from photoguard_eval.reports.views import markdown_document, page_document
from photoguard_eval.reports.views.subject import subject_of
from photoguard_eval.results.files import read_result, write_result
from photoguard_eval.results.frames import records_of
from photoguard_eval.results.rows import Purification
from tests.conftest import evaluate

TOY = """
from photoguard_eval import Purifier

class Darken(Purifier):
    name = "darken"
    axes = ("share",)
    differentiable = True

    def __init__(self, *, share: float = 0.5) -> None:
        self.share = share

    def purify(self, images, generators):
        return images * (1 - self.share)
"""

DARK = Purification(purifier="darken", strength=0.25)


class Dusty(Purifier):
    """Adds noise that shows whose random numbers it was given."""

    name = "dusty"
    differentiable = True

    def purify(self, images, generators):
        return (images + generators.normal(images.shape[1:], images) / 10).clamp(0, 1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("toys") / "toy.py"
    path.write_text(TOY)
    return f"{path}:Darken,share=0.25"


@pytest.fixture(scope="module")
def run(make_request, toy, tmp_path_factory):
    """An evaluation with a purifier from a file, and its result."""
    request = make_request(attacks=("noise", "encoder,steps=2"), purifiers=(toy,))
    return evaluate(request, tmp_path_factory.mktemp("stores") / "purified")


def test_a_purifier_of_one_file_has_rows_beside_those_without_one(run):
    _, result = run
    assert [str(row.purification) for row in result.attack_rows] == ["None"] * 4 + [str(DARK)] * 4
    for row in result.attack_rows:
        assert row.id.reference in {original.id for original in result.originals}
    assert {row.purification for row in result.rerolls} == {None}


def test_the_reference_of_a_purified_row_is_the_edit_of_the_purified_original(run):
    evaluation, _ = run
    plan = evaluation.plan
    for row in plan.attack_rows:
        reference = plan.reference(row)
        assert (reference.purifier is None) == (row.purifier is None)
        assert reference.attack is None
    dark = next(row for row in plan.originals if row.purifier)
    for task in dark.purify:
        original = task.inputs.original.image()
        image = decode_png(evaluation.store.image(task.key))
        assert torch.allclose(image, original * 0.75, atol=0.51 / 255)
    assert [edit.inputs.purified for edit in dark.edits] != [""] * len(dark.edits)


def test_an_image_is_immunized_once_for_all_purifiers(run):
    evaluation, _ = run
    tasks = {task.key for row in evaluation.plan.rows for task in row.tasks}
    assert evaluation.computed == len(tasks)
    bare, purified = (
        [row for row in evaluation.plan.attack_rows if (row.purifier is not None) == with_one]
        for with_one in (False, True)
    )
    assert [row.immunize for row in bare] == [row.immunize for row in purified]


def test_rankings_the_board_and_frames_keep_purified_rows_apart(run):
    _, result = run
    rankings = rank(result, "inpaint")
    assert [ranking.purification for ranking in rankings] == [None, DARK]
    for ranking in rankings:
        assert {row.id.purification for row in ranking.rows} == {ranking.purification}
    ranked = [row for row in leaderboard_rows([result]) if row["mean_rank"] is not None]
    # Two rows in each of four rankings: two editors, with the purifier and without.
    assert sum(row["mean_rank"] for row in ranked) == pytest.approx(4 * (1 + 2))
    assert {str(row["purifier"]) for row in ranked} == {"None", str(DARK.model_dump())}
    assert {record["purification"] for record in records_of(result)} == {None, str(DARK)}


def test_the_page_has_sections_of_its_own_for_purified_rows_with_the_purified_images(run):
    evaluation, result = run
    images = StoreImages(evaluation.plan.dataset.path, evaluation.store.image)
    document = page_document(subject_of(result, check(result), images))
    titles = [section.title for section in document.sections]
    assert "Inpainting" in titles
    assert f"Inpainting, purified by {DARK}" in titles
    anchors = [section.anchor for section in document.sections if section.anchor]
    assert len(anchors) == len(set(anchors))
    names = [figure.name for figure in document.figures]
    assert len(names) == len(set(names))
    galleries = {section.title: section.blocks[-1] for section in document.sections if section.title[:8] == "Pictures"}
    lineups = {
        title: [lineup.heading for view in gallery.images for lineup in view.lineups]
        for title, gallery in galleries.items()
    }
    assert all(("Purified" in found) == ("purified" in title) for title, found in lineups.items())


def test_purifiers_that_differ_in_a_sign_have_sections_and_figures_of_their_own(make_request, tmp_path):
    request = make_request(attacks=("noise",), purifiers=("rotation,degrees=5", "rotation,degrees=-5"))
    _, result = evaluate(request, tmp_path)
    document = markdown_document(subject_of(result, check(result)))
    names = [figure.name for figure in document.figures]
    anchors = [section.anchor for section in document.sections if section.anchor]
    assert any("rotation" in name for name in names)
    assert len(set(names)) == len(names)
    assert len(set(anchors)) == len(anchors)


def test_claims_are_about_images_that_nobody_purified(run):
    _, result = run
    bare = result.parts[0]
    assert bare.purification is None
    assert evaluate_claims(result) == evaluate_claims(bare)


def test_a_baseline_holds_purified_rows_by_their_own_name(run, tmp_path):
    _, result = run
    bless(result, tmp_path / "baseline.json")
    report = check(result, tmp_path / "baseline.json")
    assert report.passed
    assert f"noise, purified by {DARK}" in {outcome.attack for outcome in report.thresholds}


def test_a_result_with_purified_rows_is_read_as_it_was_written(run, tmp_path):
    _, result = run
    write_result(tmp_path / "result.json", result)
    assert read_result(tmp_path / "result.json") == result


def test_a_forecast_counts_a_shared_image_once(make_request, toy, tmp_path):
    plan = build_plan(make_request(attacks=("noise",), purifiers=(toy, "blur")))
    found = forecast(plan, Store(tmp_path), Progress(quiet=True))
    counts = {
        stage: sum(own.images for own in found.stages if own.stage == stage) for stage in ("immunize", "purify", "edit")
    }
    tasks = {step: {task.key for row in plan.rows for task in row.tasks_of(step)} for step in counts}
    assert counts == {step: len(own) for step, own in tasks.items()}


def test_an_immunized_image_and_its_original_are_purified_with_the_same_random_numbers(make_request):
    plan = build_plan(make_request(attacks=("noise",), purifiers=(Dusty,)))
    rows = [row for row in plan.rows if row.purifier and row.editor == "inpaint"]
    assert len({tuple(task.inputs.seed for task in row.purify) for row in rows}) == 1
    assert len({task.inputs.seed for task in rows[0].purify}) == len(rows[0].purify)


def test_purifiers_of_one_name_and_strength_are_one_row(make_request):
    plan = build_plan(make_request(purifiers=("jpeg", "jpeg,quality=75", "jpeg,quality=50")))
    assert [str(row.id.purification) for row in plan.originals if row.editor == "inpaint"] == [
        "None",
        "jpeg at 75",
        "jpeg at 50",
    ]


def test_two_purifiers_of_one_name_are_refused(make_request, tmp_path):
    for name, factor in (("one", "0.5"), ("other", "0.6")):
        (tmp_path / f"{name}.py").write_text(TOY.replace("1 - self.share", f"1 - self.share * {factor}"))
    specs = tuple(f"{tmp_path / name}.py:Darken" for name in ("one", "other"))
    with pytest.raises(DuplicateNameError, match=r"Two purifiers are named .*Rename one of them"):
        build_plan(make_request(purifiers=specs))


@pytest.mark.slow
def test_other_processes_purify_the_same_images_also_by_a_class_that_was_given(make_request, tmp_path):
    request = make_request(attacks=("noise",), purifiers=(Dusty,))
    here, _ = evaluate(request, tmp_path / "here")
    there, _ = evaluate(replace(request, executor="processes", workers=2, threads=1), tmp_path / "there")
    keys = [task.key for row in here.plan.rows for task in row.tasks]
    assert [here.store.image(key) for key in keys] == [there.store.image(key) for key in keys]


def test_the_files_of_a_purifier_travel_to_another_machine(make_request, tmp_path):
    path = tmp_path / "here" / "toy.py"
    path.parent.mkdir()
    path.write_text(TOY)
    session = packed(build_plan(make_request(purifiers=(f"{path}:Darken",))).session)
    path.unlink()
    (source,) = unpacked(session, tmp_path / "there").purifiers.values()
    assert build_purifier(source).instance.share == 0.5


PURIFY = {
    "purifier": (lambda own: replace(own.purifier, arguments={"quality": 1}), True),
    "name": (lambda own: "another", True),
    "original": (lambda own: PictureFile(Path("nowhere.png"), "0" * 64), None),
    "run_seed": (lambda own: 1, True),
    "immunized": (lambda own: "0" * 64, True),
}


@pytest.mark.parametrize("name", [field.name for field in fields(PurifyInputs)])
def test_every_input_of_a_purified_image_is_in_its_key(make_request, name):
    change, matters = PURIFY[name]
    for row in build_plan(make_request(attacks=("noise",), purifiers=("jpeg",))).rows:
        for task in row.purify[:1]:
            own = task.inputs
            changed = replace(own, **{name: change(own)}).key != own.key
            # The original of an immunized image is in that image's key.
            assert changed == (not own.immunized if matters is None else matters)


def test_the_libraries_and_the_code_of_a_purifier_are_in_its_key(make_request, monkeypatch):
    plan = build_plan(make_request(attacks=("noise",), purifiers=("jpeg",)))
    inputs = next(row for row in plan.originals if row.purifier).purify[0].inputs
    assert replace(inputs, purifier=replace(inputs.purifier, fingerprint="other code")).key != inputs.key
    monkeypatch.setattr(purify, "library_versions", lambda names: dict.fromkeys(names, "0"))
    assert replace(inputs).key != inputs.key


BAD = """
from photoguard_eval import Purifier

class Bad(Purifier):
    name = "bad"
    differentiable = False

    def purify(self, images, generators):
        return {result}
"""


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("images[..., 1:]", r"returned shape \(2, 3, 64, 63\)"),
        ("images / 0 * 0", "not finite"),
        ("images * 2 - 0.5", r"returned values from -0\.\d+ to 1\.\d+"),
        ("None", "returned NoneType"),
        ("1 / 0", "failed: ZeroDivisionError"),
    ],
)
def test_what_is_no_image_ends_the_run_by_the_purifier_s_name(make_request, tmp_path, result, message):
    (tmp_path / "bad.py").write_text(BAD.format(result=result))
    plan = build_plan(make_request(attacks=("noise",), purifiers=(f"{tmp_path / 'bad.py'}:Bad",)))
    with pytest.raises(PluginError, match=f"The purifier 'bad' .*{message}"):
        Evaluation(plan, Store(tmp_path / "store"), Progress(quiet=True)).run()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("jpg", "Unknown purifier 'jpg'"),
        ("jpeg,quality=0", "quality is 0"),
        ("jpeg,strength=3", "strength"),
    ],
)
def test_a_purifier_that_cannot_be_built_is_refused_before_any_work(make_request, spec, message):
    with pytest.raises((ConfigurationError, PluginError), match=message):
        build_plan(make_request(purifiers=(spec,)))


def test_every_purifier_names_its_strength_among_its_arguments():
    for name in PURIFIERS.names():
        plugin = PURIFIERS.create(name)
        assert len(plugin.instance.axes) == 1
        assert isinstance(plugin.arguments[plugin.instance.axes[0]], float | int)
