"""What is compared with what: each column of a finished evaluation against the metric on the stored images."""

import shutil
import weakref

import pytest
import torch

from photoguard_eval.images.arrays import decode_png
from photoguard_eval.metrics import METRICS, PairwiseMetric
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.scoring import Scorer
from photoguard_eval.pipeline.store import Store


@pytest.fixture
def images(finished, make_request):
    """Give the images of a case: the edit of the immunized image, that of the original, and both images."""
    folder, _ = finished
    store, plan = Store.existing(folder), build_plan(make_request())

    def find(attack, editor, number):
        (method,) = (method for method in plan.attack_rows if (method.attack.name, method.editor) == (attack, editor))
        cell, original = method.edits[number], plan.original(editor).edits[number]
        files = (store.image(key) for key in (cell.key, original.key, cell.immunized))
        return (*map(decode_png, files), cell.case)

    return find


def measured(result, attack, editor, number, metric):
    (method,) = (method for method in result.attack_rows if (method.attack.name, method.editor) == (attack, editor))
    return method.cases[number].scores[metric]


# VIFp is not symmetric; the edit of the immunized image comes first.
@pytest.mark.parametrize("name", ["ssim", "vifp", "gmsd", "region_ssim", "region_psnr"])
@pytest.mark.parametrize("editor", ["inpaint", "img2img"])
def test_an_edit_is_compared_with_that_of_the_original_where_it_was_repainted(finished, images, name, editor):
    metric, differences = METRICS.create(name).instance, []
    for number in range(3):
        edit, reference, _, case = images("encoder", editor, number)
        mask = case.mask() if editor == "inpaint" else torch.ones_like(case.mask())
        (expected,) = metric.compute(edit, reference, mask, ("case",))
        assert measured(finished[1], "encoder", editor, number, name) == pytest.approx(expected, abs=1e-6)
        (turned,) = metric.compute(reference, edit, mask, ("case",))
        (elsewhere,) = metric.compute(edit, reference, (1 - mask if editor == "inpaint" else mask), ("case",))
        differences.append((abs(turned - expected), abs(elsewhere - expected)))
    # What the test would not notice otherwise.
    assert name != "vifp" or max(turned for turned, _ in differences) > 1e-4
    assert not (name.startswith("region") and editor == "inpaint") or min(other for _, other in differences) > 1e-3


def test_how_visible_the_perturbation_is_is_measured_on_the_immunized_image(finished, images):
    metric = METRICS.create("psnr").instance
    for number in range(3):
        _, _, immunized, case = images("encoder", "img2img", number)
        (expected,) = metric.compute(immunized, case.image(), torch.ones_like(case.mask()), ("case",))
        found = measured(finished[1], "encoder", "img2img", number, "immunized_psnr")
        assert found == pytest.approx(expected, abs=1e-4)


def test_edits_with_another_seed_are_compared_with_those_of_the_originals(finished, make_request):
    folder, result = finished
    store, plan = Store.existing(folder), build_plan(make_request())
    metric = METRICS.create("region_psnr").instance
    for method in plan.rerolls:
        row = result.reroll(method.editor)
        assert [case.scores["region_psnr"] for case in row.cases] == pytest.approx(
            [
                metric.compute(
                    decode_png(store.image(cell.key)),
                    decode_png(store.image(original.key)),
                    cell.case.mask() if method.editor == "inpaint" else torch.ones_like(cell.case.mask()),
                    ("case",),
                )[0]
                for cell, original in zip(method.edits, plan.original(method.editor).edits, strict=True)
            ],
            abs=1e-4,
        )


def test_similarity_to_the_prompt_is_the_case_s_own(finished, images, make_request):
    clip = build_plan(make_request()).clip
    metric = METRICS.create("clip_similarity").instance
    for number in range(3):
        edit, *_, case = images("encoder", "inpaint", number)
        (expected,) = metric.compute(clip, edit, (case.prompt,), ("case",))
        found = measured(finished[1], "encoder", "inpaint", number, "clip_similarity")
        assert found == pytest.approx(expected, abs=1e-5)


def test_scoring_holds_the_images_of_one_row_and_gives_the_same_scores(finished, make_request, tmp_path, monkeypatch):
    """What is decoded lives as long as its row: the edits, the immunized images and the originals' edits."""
    folder, result = finished
    store, plan = Store(shutil.copytree(folder, tmp_path / "store")), build_plan(make_request())
    for path in (store.path / "artifacts").rglob("*.json"):
        if not path.with_suffix(".png").exists():
            path.unlink()
    alive, most = weakref.WeakSet(), 0

    class Decoded:
        """Compares by identity, as tensors do not."""

    def decode(png):
        nonlocal most
        image = decode_png(png)
        image.token = Decoded()
        alive.add(image.token)
        most = max(most, len(alive))
        return image

    monkeypatch.setattr("photoguard_eval.pipeline.scoring.decode_png", decode)
    again = Evaluation(plan, store, Progress(quiet=True)).run()
    for before, after in zip(result.attack_rows, again.attack_rows, strict=True):
        assert [case.scores for case in after.cases] == [case.scores for case in before.cases]
        assert {name: value.mean for name, value in after.metrics.items()} == {
            name: value.mean for name, value in before.metrics.items()
        }
    cases = len(plan.cases)
    assert 2 * cases < most <= 3 * cases < cases * len(plan.attack_rows)


def test_a_metric_of_others_says_itself_what_it_compares_and_where_it_is_shown(finished, make_request, monkeypatch):
    class Darkness(PairwiseMetric):
        name, label, source = "darkness", "Darkness", "tests"
        higher_is_more_similar = True
        compares_immunized = ranked = on_board = under_pictures = True
        position = 0

        def _scores(self, edited, reference, masks):
            return 1 - edited.mean(dim=(1, 2, 3))

    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    METRICS.register(Darkness)
    plan = build_plan(make_request())
    scorer = Scorer(plan, Store.existing(finished[0]))
    infos = {info.name: info for info in scorer.metric_infos()}
    assert next(iter(infos)) == "darkness"
    facts = {"ranked", "on_board", "under_pictures", "printed", "unbiased"}
    own, of_immunized = infos["darkness"], infos["immunized_darkness"]
    assert {fact for fact in facts if getattr(own, fact)} == {"ranked", "on_board", "under_pictures"}
    assert {fact for fact in facts if getattr(of_immunized, fact)} == set()
    assert (own.plugin, of_immunized.subject, of_immunized.label) == (__name__, "immunized", "Darkness of immunized")
    assert {name for name in infos if name.startswith("immunized_")} == {
        "immunized_darkness",
        "immunized_ssim",
        "immunized_psnr",
    }


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, "0.5"], []])
def test_scores_of_another_shape_are_computed_again(finished, make_request, tmp_path, values):
    folder, result = finished
    store, plan = Store(shutil.copytree(folder, tmp_path / "store")), build_plan(make_request())
    scorer, method = Scorer(plan, store), plan.attack_rows[0]
    score = next(score for score in scorer.scores if score.name == "ssim")
    key = scorer.inputs(method, score).key
    store.put_values(key, {"values": values})
    assert scorer.case_scores(method, score) == [case.scores["ssim"] for case in result.attack_rows[0].cases]
    assert store.damaged == [key]
