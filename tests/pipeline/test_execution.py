import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

from photoguard_eval.analysis.gate import bless, check
from photoguard_eval.data.cases import load_dataset
from photoguard_eval.diffusion import LatentDiffusion
from photoguard_eval.errors import ConfigurationError, InvalidImageError, MetricError, ModelError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.images.arrays import write_image
from photoguard_eval.metrics import METRICS
from photoguard_eval.metrics.features import EmbeddedClipFeatures
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.store import Store
from photoguard_eval.reports import terminal_report
from photoguard_eval.results.files import read_result, write_result
from tests.conftest import evaluate

BAD_ATTACK = """
from photoguard_eval import Attack

class Bad(Attack):
    name = "bad"

    def perturb(self, model, batch, generator):
        return {result}
"""


def pictures(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.png")}


def numbers(result):
    """What must not differ from run to run: everything but times and memory."""
    data = result.model_dump()
    del data["provenance"]
    for row in data["rows"]:
        del row["cost"]
    return data


def test_a_result_has_every_row_and_metric(finished):
    _, result = finished
    assert [(method.attack.label, method.editor) for method in result.attack_rows] == [
        (label, editor)
        for editor in ("inpaint", "img2img")
        for label in ("noise", "encoder,steps=4", "diffusion,steps=2")
    ]
    # The cases are too few for KID, and the weights of LPIPS are not there.
    wanted = {*METRICS.names(), "immunized_ssim", "immunized_psnr"} - {"lpips", "kid"}
    for method in result.attack_rows:
        assert set(method.metrics) == wanted
        assert method.n == len(method.cases) == 3
        assert all(0 < case.linf_levels <= 16 for case in method.cases)
    assert [set(method.metrics) for method in result.originals] == [{"clip_similarity"}] * 2
    of_edits = {name for name in wanted if not name.startswith("immunized")}
    assert [(row.label, row.editor) for row in result.rerolls] == [("re-roll", "inpaint"), ("re-roll", "img2img")]
    for row in result.rerolls:
        assert set(row.metrics) == of_edits
        assert row.metrics["ssim"].mean < 0.99, "another seed leads to another edit"
        assert [case.immunized for case in row.cases] == [""] * 3
    assert result.failures == ()


def test_what_needs_weights_is_measured_where_they_are_and_never_gated(finished, make_request, alexnet, tmp_path):
    folder, before = finished
    copy = shutil.copytree(folder, tmp_path / "store")
    result = evaluate(make_request(), copy)[1]
    for method in result.attack_rows:
        assert min(method.metrics[name].mean for name in ("lpips", "immunized_lpips")) > 0
    assert result.metric("immunized_lpips").extractor == "alexnet 7be5be790000"
    bless(result, tmp_path / "baseline.json")
    assert "lpips" not in (tmp_path / "baseline.json").read_text(encoding="utf-8")
    for measured in (result, before):
        gate = check(measured, tmp_path / "baseline.json")
        assert gate.passed
        assert ("LPIPS" in terminal_report(measured, gate)) == (measured is result)


def test_an_edit_that_is_not_finite_names_its_case_and_is_not_stored(make_request, monkeypatch, tmp_path):
    whole = LatentDiffusion.decode

    def overflowing(self, latents):
        images = whole(self, latents)
        images[1, 0, 3, 5] = torch.nan
        return images

    monkeypatch.setattr(LatentDiffusion, "decode", overflowing)
    dataset = load_dataset(make_request().dataset)
    with pytest.raises(ModelError, match=rf"The edit of {dataset.cases[1].id} by inpaint is not finite in float32"):
        evaluate(make_request(attacks=("noise",)), tmp_path / "store")
    assert len(pictures(tmp_path / "store")) == 4, "the immunized images alone"


def test_gradient_evaluations_and_unet_calls_are_counted(finished):
    _, result = finished
    costs = {method.attack.name: method.cost for method in result.attack_rows if method.editor == "inpaint"}
    assert costs["noise"].gradient_evaluations == 0
    assert costs["encoder"].gradient_evaluations == 4
    # Two gradient steps through the two denoising steps of the smoke preset.
    assert (costs["diffusion"].gradient_evaluations, costs["diffusion"].unet_calls) == (2, 4)


def test_a_second_run_computes_nothing_and_loads_no_model(finished, make_request, tmp_path):
    folder, result = finished
    copy = shutil.copytree(folder, tmp_path / "store")
    command = (
        "import sys; from pathlib import Path\n"
        "from tests.conftest import evaluate\n"
        "from photoguard_eval.pipeline.request import EvaluationRequest\n"
        f"request = EvaluationRequest(**{vars(make_request())!r})\n"
        f"evaluation, result = evaluate(request, Path({str(copy)!r}))\n"
        "print(evaluation.computed, 'torch' in sys.modules, result.id)"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False", result.id]


def test_an_added_attack_costs_only_its_own_cells(finished, make_request, tmp_path):
    folder, before = finished
    copy = shutil.copytree(folder, tmp_path / "store")
    request = make_request(attacks=(*make_request().attacks, "noise,budget=4/255"))
    evaluation, result = evaluate(request, copy)
    # Two images and three edits under each of two editors.
    assert evaluation.computed == 2 * (2 + 3)
    assert numbers(result)["rows"][:5] == numbers(before)["rows"][:5]


@pytest.mark.parametrize("suffix", ["png", "json"])
def test_a_damaged_artifact_is_computed_again_to_the_same_bits(finished, make_request, tmp_path, suffix):
    folder, before = finished
    copy = shutil.copytree(folder, tmp_path / "store")
    edit = before.row("noise", "inpaint").cases[1].edit
    path = copy / "artifacts" / edit[:2] / f"{edit}.{suffix}"
    original = path.read_bytes()
    path.write_bytes(original[: len(original) // 2])
    evaluation, result = evaluate(make_request(), copy)
    assert evaluation.computed == 3
    assert pictures(copy) == pictures(folder)
    assert numbers(result) == numbers(before)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_goes_on_to_the_same_bits(finished, make_request, tmp_path):
    folder, before = finished
    store = tmp_path / "store"
    request = make_request()
    command = [
        sys.executable,
        "-m",
        "photoguard_eval",
        "run",
        "--store",
        store,
        "--reports",
        tmp_path / "reports",
    ]
    command += ["--preset", request.preset, "--dataset", request.dataset]
    command += [part for attack in request.attacks for part in ("--attack", attack)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(store.rglob("*.png"))) < 5 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    interrupted = pictures(store)
    assert 0 < len(interrupted) < len(pictures(folder))
    subprocess.run(command, check=True, capture_output=True)
    assert pictures(store) == pictures(folder)
    assert numbers(Store(store).results()[-1]) == numbers(before)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("1 / 0", "raised ZeroDivisionError"),
        ("batch.images * float('nan')", "NaN"),
        ("batch.images[..., :8]", "of shape"),
        ("(batch.images - 0.2).clamp(0, 1)", "over the budget"),
    ],
)
def test_a_bad_attack_is_stopped_alone(make_request, tmp_path, result, message):
    (tmp_path / "bad.py").write_text(BAD_ATTACK.format(result=result))
    request = make_request(attacks=("noise", f"{tmp_path / 'bad.py'}:Bad"))
    _, outcome = evaluate(request, tmp_path / "store")
    assert [method.attack.label for method in outcome.attack_rows] == ["noise", "noise"]
    (failure,) = outcome.failures
    assert failure.attack == "bad"
    assert message in failure.error


def test_a_folder_of_finished_images_scores_as_its_attack(finished, make_request, tmp_path):
    folder, before = finished
    images = tmp_path / "finished"
    images.mkdir()
    method = before.row("noise", "img2img")
    names = {case.id: case.image_id for case in before.cases}
    for case in method.cases:
        source = folder / "artifacts" / case.immunized[:2] / f"{case.immunized}.png"
        shutil.copy(source, images / f"{names[case.case_id]}.png")
    _, outcome = evaluate(make_request(attacks=(str(images),)), tmp_path / "store")
    row = outcome.row(str(images), "img2img")
    assert [case.scores for case in row.cases] == [case.scores for case in method.cases]


def spoiled(dataset, folder, change):
    """Copy a dataset and change the files of its first image: `change` is given the kind of each, and the picture."""
    shutil.copytree(dataset, folder)
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    for kind, digest in (("file_name", "sha256"), ("mask_file_name", "mask_sha256")):
        path = folder / rows[0][kind]
        with Image.open(path) as picture:
            change(kind, picture).save(path)
        rows[0][digest] = sha256_of_file(path)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_mask_between_the_latents_is_refused_before_any_work(make_request, small_dataset, tmp_path):
    thin = Image.new("L", (64, 64))
    thin.paste(255, (0, 1, 64, 2))
    folder = spoiled(small_dataset, tmp_path / "thin", lambda kind, picture: thin if "mask" in kind else picture)
    with pytest.raises(InvalidImageError, match=r"dog-in-a-meadow: the mask's region is too thin"):
        evaluate(make_request(dataset=str(folder)), tmp_path / "store")


def test_an_image_that_does_not_fit_the_model_is_refused_by_name(make_request, small_dataset, tmp_path):
    folder = spoiled(small_dataset, tmp_path / "odd", lambda _kind, picture: picture.crop((0, 0, 60, 60)))
    with pytest.raises(InvalidImageError, match=r"-0 is 60 × 60, but the model needs .* multiples of 16"):
        evaluate(make_request(dataset=str(folder)), tmp_path / "store")


def test_batches_of_another_size_give_nearly_the_same_scores(finished, make_request, tmp_path):
    _, before = finished
    _, after = evaluate(make_request(batch_size=1), tmp_path / "store")
    for first, second in zip(before.attack_rows, after.attack_rows, strict=True):
        # Signs of gradients near zero turn with the order of sums; edits differ by less than half a percent in SSIM.
        assert first.metrics["ssim"].mean == pytest.approx(second.metrics["ssim"].mean, abs=0.005)
    # So the gate, which compares case by case, keeps all of its thresholds.
    bless(before, tmp_path / "baseline.json")
    report = check(after, tmp_path / "baseline.json")
    assert [outcome for outcome in report.thresholds if not outcome.passed] == []
    assert max(abs(outcome.worst_change) for outcome in report.thresholds) > 0


def test_a_result_is_read_as_it_was_written(finished, tmp_path):
    _, result = finished
    write_result(tmp_path / "result.json", result)
    assert read_result(tmp_path / "result.json") == result


def test_an_attack_that_cannot_work_is_refused_before_any_work(make_request, tmp_path):
    write_image(tmp_path / "target.png", torch.zeros(1, 3, 32, 32))
    attacks = ("noise", f"mist,target={tmp_path / 'target.png'}")
    with pytest.raises(ConfigurationError, match="32 × 32, the images are 64 × 64"):
        evaluate(make_request(attacks=attacks), tmp_path / "store")
    assert pictures(tmp_path / "store") == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_that_cannot_be_had_is_said_before_any_work(make_request, monkeypatch, tmp_path, workers):
    def unavailable(*_arguments, **_options):
        raise OSError("no route to the hub")

    monkeypatch.setattr("open_clip.create_model", unavailable)
    plan = build_plan(make_request(clip="ViT-B-32-quickgelu:openai", workers=workers))
    with pytest.raises(MetricError, match="cannot be loaded by open_clip: no route to the hub"):
        Evaluation(plan, Store(tmp_path / "store"), Progress(quiet=True)).run()
    assert not (tmp_path / "store" / "artifacts").exists()


def test_features_of_an_edit_are_computed_once_for_all_metrics(finished, make_request, monkeypatch):
    folder, _ = finished
    plan = build_plan(make_request())
    scorer = Scorer(plan, Store(folder))
    passed = []
    compute = EmbeddedClipFeatures.features

    def features(self, images):
        passed.extend(images)
        return compute(self, images)

    monkeypatch.setattr(EmbeddedClipFeatures, "features", features)
    monkeypatch.setattr(Store, "values", lambda self, key, kind: None)
    monkeypatch.setattr(Store, "put_values", lambda self, key, values: None)
    for method in plan.attack_rows:
        for score in scorer.scores:
            scorer.set_score(method, score)
    assert len(passed) == sum(len(method.edits) for method in (*plan.attack_rows, *plan.originals))
