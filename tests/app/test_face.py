"""The benchmark from Python: `evaluate`, its result, and `immunize`."""

import shutil
import subprocess
import sys
from dataclasses import fields
from inspect import signature

import pytest
from PIL import Image

import photoguard_eval
from photoguard_eval import Attack, evaluate, immunize
from photoguard_eval.app.main import main
from photoguard_eval.app.options import STORE
from photoguard_eval.attacks import EncoderAttack, NoiseAttack
from photoguard_eval.data.cases import load_dataset
from photoguard_eval.errors import ConfigurationError, DuplicateNameError, PluginError, UnknownNameError
from photoguard_eval.pipeline.attacks import build, plan_attack
from photoguard_eval.pipeline.isolation import Isolation
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.presets import find_preset
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.steps import immunize as immunize_step
from tests.conftest import QUICK_ATTACKS

CASE = load_dataset("emoji-scenes").cases[0]
SMOKE = find_preset("smoke")


class Plus(Attack):
    """Adds levels."""

    name = "plus"

    def __init__(self, level: float = 8, **options):
        super().__init__(**options)
        self.level = level

    def perturb(self, model, batch, generator):
        return (batch.images + self.level / 255).clamp(0, 1)


@pytest.fixture(scope="module")
def result(finished, small_dataset, tmp_path_factory):
    store = shutil.copytree(finished[0], tmp_path_factory.mktemp("face") / "store")
    return evaluate(QUICK_ATTACKS, dataset=small_dataset, preset="smoke", store=store, quiet=True)


def test_what_the_store_holds_is_not_computed_again(result, finished):
    assert result.computed == 0
    assert result.values == finished[1]
    assert result.failures == ()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_has_a_line_for_each_case_of_each_row(result, library):
    pytest.importorskip(library)
    frame = result.frame(library)
    assert frame.shape[0] == 3 * len(result.values.rows)
    lines = frame.to_dict("records") if library == "pandas" else frame.to_dicts()
    (line,) = [
        line
        for line in lines
        if (line["attack"], line["editor"]) == ("encoder,steps=4", "inpaint") and line["case"] == "dog-in-a-meadow-0"
    ]
    row = result.values.row("encoder,steps=4", "inpaint")
    assert line["ssim"] == row.cases[0].scores["ssim"]
    assert (line["budget"], line["prompt"]) == ("16/255", result.values.cases[0].prompt)
    assert {metric.name for metric in result.values.metrics if metric.kind != "distribution"} <= set(line)
    seeds = {line["seeds"]: line["seed"] for line in lines if line["case"] == "dog-in-a-meadow-0"}
    assert seeds["own"] != seeds["re-roll"]


def test_a_frame_of_what_is_not_there_is_refused(result, monkeypatch):
    with pytest.raises(ConfigurationError, match="of pandas and of polars, and not of 'numpy'"):
        result.frame("numpy")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match=r"needs pandas, which is not installed .*photoguard-eval\[pandas\]"):
        result.frame()


def test_attacks_are_ranked_by_editor(result):
    assert [ranking.editor for ranking in result.ranking()] == ["inpaint", "img2img"]
    (ranking,) = result.ranking("img2img")
    assert {row.id.attack for row in ranking.rows} == set(QUICK_ATTACKS)
    with pytest.raises(UnknownNameError, match=r"editor of the result 'inpain'.* Did you mean 'inpaint'"):
        result.ranking("inpain")


def test_figures_of_the_report_are_drawn_by_name(result):
    assert len(result.figure("tradeoff").axes) == 1
    assert result.figure("figure-7").axes
    assert result.figure("edits", "img2img").axes
    with pytest.raises(UnknownNameError, match="figure 'trade'"):
        result.figure("trade")


def test_the_page_and_the_text_are_those_of_the_command_line(result, tmp_path, small_dataset, finished, capsys):
    page = result.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    command = ["run", "--preset", "smoke", "--dataset", str(small_dataset), "--store", str(finished[0]), "--quiet"]
    command += ["--reports", str(tmp_path), *(f"--attack={attack}" for attack in QUICK_ATTACKS)]
    assert main(command) == 0
    assert page == next(tmp_path.glob("inpaint-a-*.html")).read_text(encoding="utf-8")
    assert str(result) in capsys.readouterr().out


def test_results_are_compared_row_by_row(result):
    same = result.compare(result)
    assert {difference.change for difference in same} == {0.0}
    assert {difference.id for difference in same} == {row.id for row in result.values.rows}
    row = result.values.row("noise", "inpaint")
    cases = tuple(case.model_copy(update={"scores": {**case.scores, "ssim": 0.5}}) for case in row.cases)
    mean = row.metrics["ssim"].model_copy(update={"mean": 0.5})
    changed = row.model_copy(update={"cases": cases, "metrics": {**row.metrics, "ssim": mean}})
    other = photoguard_eval.Result(result.values.replaced(attack_rows=(changed,)), result.images)
    found = {(each.id.label, each.metric): each for each in result.compare(other) if each.id.editor == "inpaint"}
    assert {label for label, _ in found} == {"original", "re-roll", "noise"}
    assert found["noise", "ssim"].change == pytest.approx(0.5 - row.metrics["ssim"].mean)
    assert found["noise", "psnr"].change == 0
    bare = photoguard_eval.Result(result.values.replaced(originals=(), rerolls=(), attack_rows=()), result.images)
    with pytest.raises(ConfigurationError, match="have no row in common"):
        result.compare(bare)
    seed = result.values.provenance.model_copy(update={"seed": 7})
    with pytest.raises(ConfigurationError, match=r"by more than their attacks\. Seed of the attacks: 0, this run"):
        result.compare(photoguard_eval.Result(result.values.replaced(provenance=seed), result.images))


def test_classes_and_instances_are_attacks_as_specs_are(make_request):
    given = ("noise", NoiseAttack, EncoderAttack(steps=3), Plus, Plus(level=4))
    plan = build_plan(make_request(attacks=given))
    labels = ["noise", "encoder,steps=3", "plus", "plus,level=4.0"]
    assert [attack.label for attack in plan.attacks] == labels
    foreign = {label: source.described is not None for label, source in plan.session.attacks.items()}
    assert foreign == {label: label.startswith("plus") for label in labels}
    assert all(build(source, "smoke").label == label for label, source in plan.session.attacks.items())
    trusted = build_plan(make_request(attacks=given, trusted=True))
    assert not any(source.described for source in trusted.session.attacks.values())


def test_a_class_that_was_typed_in_a_notebook_runs_in_a_process_of_its_own(make_request):
    class Typed(Plus):
        name = "typed"

    plan = build_plan(make_request(attacks=(Typed(level=3),), threads=1))
    work = immunize_step.gather([plan.attack_rows[0].immunize[0].inputs], 1)
    isolation = Isolation(plan.session, "typed,level=3.0")
    try:
        images, _, _ = isolation.perturb(work)
    finally:
        isolation.close()
    assert (images.numpy() * 255 - work.images).max() == pytest.approx(3, abs=1e-3)


def test_a_registered_class_of_others_runs_in_a_process_of_its_own_too(monkeypatch):
    from photoguard_eval.attacks import ATTACKS

    monkeypatch.setattr(ATTACKS, "_entries", dict(ATTACKS._entries))
    ATTACKS.register(Plus)
    planned = plan_attack("plus,level=2", SMOKE)
    assert planned.source.described is not None
    assert build(planned.source, "smoke").instance.level == 2


@pytest.mark.parametrize(
    ("attacks", "error", "message"),
    [
        ((int,), PluginError, "The class int is no attack"),
        ((), ConfigurationError, "No attack was named"),
        ((Plus, type("Plus", (Plus,), {"name": "plus"})), DuplicateNameError, "Two attacks are named 'plus'"),
    ],
)
def test_what_is_no_attack_is_refused(make_request, attacks, error, message):
    with pytest.raises(error, match=message):
        build_plan(make_request(attacks=attacks))


def test_a_class_that_cannot_be_sent_is_refused_with_a_way_out():
    import threading

    class Locked(Plus):
        name = "locked"
        lock = threading.Lock()

    with pytest.raises(PluginError, match=r"'locked' cannot be sent to a process of its own.* Write its class"):
        plan_attack(Locked, SMOKE)
    assert plan_attack("noise", SMOKE).source.described is None


def test_an_image_is_immunized_as_the_command_line_does(tmp_path):
    command = ["immunize", str(CASE.image_path), "--mask", str(CASE.mask_path), "-o", str(tmp_path / "out.png")]
    assert main([*command, "--attack", "noise", "--seed", "3"]) == 0
    image = immunize(CASE.image_path, "noise", CASE.mask_path, seed=3)
    assert image.tobytes() == Image.open(tmp_path / "out.png").tobytes()
    picture, mask = Image.open(CASE.image_path), Image.open(CASE.mask_path)
    given = immunize(picture, NoiseAttack(), mask, seed=3)
    assert given.size == picture.size
    assert given.tobytes() != picture.convert("RGB").tobytes()
    with pytest.raises(ConfigurationError, match="sees the prompt of the edit"):
        immunize(picture, "dayn", mask)


def test_evaluate_takes_whatever_a_request_has_with_the_same_defaults():
    given = {name: parameter.default for name, parameter in signature(evaluate).parameters.items()}
    assert (given.pop("store"), given.pop("quiet"), given.pop("fail_fast")) == (STORE.default, False, False)
    request = EvaluationRequest()
    assert set(given) == {field.name for field in fields(EvaluationRequest)}
    # A model and a dataset are chosen by the device, and what is empty is written in two ways.
    chosen = {"model", "dataset", "settings"}
    assert {name: given[name] for name in given if name not in chosen} == {
        name: getattr(request, name) for name in given if name not in chosen
    }
    assert not any(given[name] for name in chosen)


def test_nothing_heavy_is_loaded_for_the_names():
    command = "import sys, photoguard_eval; print('torch' in sys.modules, 'evaluate' in photoguard_eval.__all__)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
