"""What all metrics have in common: their order, their facts, and what they refuse."""

import subprocess
import sys

import pytest
import torch

from photoguard_eval import resources
from photoguard_eval.errors import MetricError
from photoguard_eval.metrics import (
    METRICS,
    DistributionMetric,
    EmbeddedClipFeatures,
    FeatureExtractor,
    PairwiseMetric,
    PromptMetric,
    TextImageModel,
    distribution_metrics,
    quality_scores,
)
from tests.metrics.pictures import SIDE, picture

PAIRWISE = [name for name, metric in METRICS.classes().items() if metric.kind == "pairwise" and not metric.weights]
IDS = ["fox-0", "fox-1"]


def score(name, edited, reference, masks=None, ids=("fox-0",)):
    masks = torch.ones(len(edited), 1, *edited.shape[-2:]) if masks is None else masks
    return METRICS.create(name).instance.compute(edited, reference, masks, ids)


def test_the_order_is_that_of_the_paper_s_tables():
    columns = [(metric.table, metric.label) for metric in METRICS.classes().values() if metric.table]
    table_6 = ["FID", "Precision", "Recall", "SSIM", "PSNR", "VIFp", "FSIM"]
    table_10 = ["SR-SIM", "GMSD", "VSI", "DSS", "HaarPSI"]
    assert columns == [
        *(("6", label) for label in table_6),
        *(("10", label) for label in table_10),
        ("figure 7", "CLIP similarity"),
    ]
    assert list(METRICS.classes())[13:] == ["kid", "region_ssim", "region_psnr", "lpips"]


def test_the_arrows_are_those_of_the_paper_s_tables():
    down = {name for name, metric in METRICS.classes().items() if not metric.higher_is_more_similar}
    assert down == {"fid", "kid", "gmsd", "lpips"}


def test_metrics_are_listed_by_kind():
    assert [metric.name for metric in distribution_metrics()] == ["fid", "precision", "recall", "kid"]
    assert PAIRWISE == (
        ["ssim", "psnr", "vifp", "fsim", "sr_sim", "gmsd", "vsi", "dss", "haarpsi", "region_ssim", "region_psnr"]
    )


def with_fact(fact):
    return {name for name, metric in METRICS.classes().items() if getattr(metric, fact, False)}


def test_what_is_shown_where_is_said_by_the_classes():
    of_the_paper = {name for name, metric in METRICS.classes().items() if metric.table}
    assert with_fact("ranked") == of_the_paper
    assert with_fact("printed") == of_the_paper - {"recall"}, "the paper's one PR stands at precision"
    assert with_fact("on_board") == {"fid", "ssim", "psnr", "vifp", "fsim", "clip_similarity"}
    assert with_fact("under_pictures") == {"ssim", "psnr", "clip_similarity"}
    assert with_fact("compares_immunized") == {"ssim", "psnr", "lpips"}
    assert with_fact("unbiased") == {"kid"}


class Returning(PairwiseMetric):
    name = "returning"
    label = "Returning"
    higher_is_more_similar = True
    source = "test"

    def __init__(self, values):
        self.values = values

    def _scores(self, edited, reference, masks):
        return torch.tensor(self.values)


def scores_of(values):
    images = torch.cat([picture(0), picture(1)])
    return Returning(values).compute(images, images, torch.ones(2, 1, SIDE, SIDE), IDS)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1.001, -0.001])
def test_a_value_outside_of_the_range_is_an_error_with_the_case(bad):
    with pytest.raises(MetricError, match=r"Returning of fox-1 is .*; expected a finite value in \[0, 1\]"):
        scores_of([0.5, bad])


def test_float_noise_outside_of_the_range_is_clipped():
    assert scores_of([1 + 5e-5, -5e-5]) == [1.0, 0.0]


@pytest.mark.parametrize("values", [[0.5], [[0.5], [0.5]], 0.5])
def test_a_metric_that_loses_images_is_an_error(values):
    with pytest.raises(MetricError, match="for 2 images; expected one value each"):
        scores_of(values)


def test_a_plug_in_that_returns_nan_is_caught_with_the_case(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\n"
        "from photoguard_eval.metrics import PairwiseMetric\n"
        "class Mine(PairwiseMetric):\n"
        "    name, label, source, higher_is_more_similar = 'mine', 'Mine', 'me', True\n"
        "    def _scores(self, edited, reference, masks):\n"
        "        return torch.zeros(len(edited)) / 0\n"
    )
    with pytest.raises(MetricError, match="Mine of fox-0 is nan"):
        score(f"{path}:Mine", picture(), picture())


class NotANumber(DistributionMetric):
    name = "not_a_number"
    label = "Not a number"
    higher_is_more_similar = True
    source = "test"

    def _score(self, edited, reference):
        return float("nan")


def test_a_set_metric_that_returns_nan_is_an_error():
    with pytest.raises(MetricError, match="Not a number of a set of 3 images is nan"):
        NotANumber().compute(torch.rand(3, 4), torch.rand(3, 4))


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_that_is_not_finite_is_an_error_with_the_case(name, value):
    images = torch.cat([picture(0), picture(1)])
    broken = images.clone()
    broken[1, 2, 5, 7] = value
    for pair in ((broken, images), (images, broken)):
        with pytest.raises(MetricError, match="an image of fox-1 with values that are NaN or infinite"):
            score(name, *pair, ids=IDS)


WRONG_RANGES = {
    "signed": (lambda image: image * 2 - 1, r"with values from -1 to .*; expected \[0, 1\]\. Scale them"),
    "levels": (lambda image: image * 255, r"with values from .* to 255; expected \[0, 1\]\. Scale them"),
    "8 bits": (lambda image: (image * 255).byte(), r"an image of type torch\.uint8; expected floating point numbers"),
    "not a number": (lambda image: image / 0, "with values that are NaN or infinite"),
}


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize(("change", "message"), WRONG_RANGES.values(), ids=WRONG_RANGES)
def test_images_in_another_range_are_refused_rather_than_scored(name, change, message):
    wrong, right = change(picture()), picture()
    for pair in ((wrong, wrong), (wrong, right), (right, wrong)):
        with pytest.raises(MetricError, match=message):
            score(name, *pair)


class Brightness(PromptMetric):
    name = "brightness"
    label = "Brightness"
    higher_is_more_similar = True
    source = "test"

    def _scores(self, model, images, prompts):
        return images.mean(dim=(1, 2, 3))


class Corners(FeatureExtractor):
    identity = "corners"

    def _features(self, images):
        return images[..., 0, 0]


@pytest.mark.parametrize(("change", "message"), WRONG_RANGES.values(), ids=WRONG_RANGES)
def test_every_entry_that_takes_images_refuses_another_range(change, message):
    clip = TextImageModel(str(resources.embedded_clip()))
    wrong = change(picture())
    for entry in (
        lambda: Brightness().compute(clip, wrong, ["a fox"], ["fox-0"]),
        lambda: clip.embed_images(wrong),
        lambda: quality_scores(clip, wrong),
        lambda: EmbeddedClipFeatures().features(wrong),
        lambda: Corners().features(wrong),
    ):
        with pytest.raises(MetricError, match=message):
            entry()


def test_an_image_without_a_name_is_called_by_its_number():
    clip = TextImageModel(str(resources.embedded_clip()))
    with pytest.raises(MetricError, match="CLIP clip was given an image, number 2 of 2, with values from -1 to"):
        clip.embed_images(torch.cat([picture(0), picture(1) * 2 - 1]))


def test_a_mask_in_another_range_is_refused():
    with pytest.raises(MetricError, match="was given a mask of fox-0 with values from 0 to 255"):
        score("region_ssim", picture(), picture(), (picture()[:, :1] > 0.5) * 255.0)


@pytest.mark.parametrize("metric", [METRICS.classes()[name] for name in PAIRWISE], ids=lambda metric: metric.name)
def test_images_of_the_minimum_size_are_scored_and_smaller_ones_refused(metric):
    least = metric.minimum_size
    image = torch.rand(1, 3, least, least, generator=torch.Generator().manual_seed(0))
    assert score(metric.name, image.flip(3), image)
    if least > 1:
        for shape in ((least - 1, least), (least, least - 1)):
            small = torch.rand(1, 3, *shape)
            message = (
                f"{metric.label} needs images of at least {least} pixels a side, these are {shape[1]} × {shape[0]}"
            )
            with pytest.raises(MetricError, match=message):
                score(metric.name, small, small)


@pytest.mark.parametrize("name", ["vifp", "sr_sim", "dss", "haarpsi"])
def test_the_library_fails_below_the_minimum_size(name):
    metric = METRICS.create(name).instance
    side = metric.minimum_size - 1
    small = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        value = metric._scores(small, small.flip(3), torch.ones(1, 1, side, side))
    except ValueError:
        return
    assert value.isnan().all()


@pytest.mark.parametrize("name", PAIRWISE)
def test_images_a_little_outside_of_the_range_are_clipped(name):
    images, reference = picture(0), picture(1)
    images[0, :, :8] = 0
    outside = images.clone()
    outside[0, :, :8] = -1e-6
    assert score(name, outside, reference) == score(name, images, reference)


def test_images_of_another_precision_are_scored_without_gradients():
    images = picture(0).double().requires_grad_()
    value = score("ssim", images, picture(1))[0]
    assert isinstance(value, float)
    assert value == pytest.approx(score("ssim", picture(0), picture(1))[0], abs=1e-6)


@pytest.mark.parametrize(
    ("edited", "reference"), [((1, 3, 64, 64), (1, 3, 48, 48)), ((1, 1, 64, 64), (1, 1, 64, 64)), ((3, 64, 64),) * 2]
)
def test_images_of_other_shapes_are_refused(edited, reference):
    with pytest.raises(MetricError, match=r"expected \(N, 3, H, W\), the same for all"):
        METRICS.create("ssim").instance.compute(
            torch.rand(edited), torch.rand(reference), torch.ones(1, 1, 64, 64), ["fox-0"]
        )


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 3, 64, 64), (64, 64)])
@pytest.mark.parametrize("name", ["ssim", "region_ssim"])
def test_masks_that_do_not_fit_are_refused(name, shape):
    with pytest.raises(MetricError, match="expected one channel and the images' size"):
        score(name, picture(), picture(), torch.ones(shape))


def test_every_image_needs_a_name():
    with pytest.raises(MetricError, match="1 images and 2 case names"):
        score("ssim", picture(), picture(), ids=IDS)


def test_facts_and_identities_are_known_without_torch():
    """A run whose scores are all in the store asks for these and nothing else."""
    command = (
        "import sys\n"
        "from photoguard_eval.metrics import METRICS, select_clip, select_extractor\n"
        "plugins = [METRICS.create(name) for name in METRICS.classes()]\n"
        "print(len(plugins), select_extractor('auto', True).identity, select_clip('auto', True).identity)\n"
        "print(select_clip('auto', False).identity)\n"
        "heavy = ('torch', 'piq', 'open_clip', 'torchmetrics', 'scipy', 'numpy')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    embedded, real, loaded = done.stdout.strip().splitlines()
    count, *words = embedded.split()
    assert count == "17"
    assert words[:2] == ["embedded", "clip"]
    assert words[2] == words[4]
    assert real == "open_clip ViT-B-32-quickgelu:openai"
    assert loaded == "[]"
