"""Pairwise metrics against references that share no code with piq, and against what they are defined to do."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import visual_information_fidelity

from photoguard_eval.data.cases import load_dataset
from photoguard_eval.metrics import METRICS
from tests.metrics import definitions
from tests.metrics.pictures import blurred, checkerboard, faded, flat, noisy, picture

PAIRWISE = [name for name, metric in METRICS.classes().items() if metric.kind == "pairwise" and not metric.weights]
BEST = {"psnr": 80, "region_psnr": 80, "gmsd": 0}
"""Value of equal images where it is not 1."""

PAIRS = {
    "noise": (noisy(picture(), 0.1), picture()),
    "blur": (blurred(picture(2), 2), picture(2)),
    "another": (picture(3), picture(4)),
    "negative": (1 - picture(5), picture(5)),
    "oblong": (noisy(picture(6, 48, 96), 0.2), picture(6, 48, 96)),
}


def score(name, edited, reference):
    masks = torch.ones(len(edited), 1, *edited.shape[-2:])
    ids = [f"case-{index}" for index in range(len(edited))]
    return METRICS.create(name).instance.compute(edited, reference, masks, ids)


def array(image):
    """One image as (3, H, W), float64."""
    return image[0].double().numpy()


def ssim_map(edited, reference):
    """SSIM of scikit-image at every pixel, with the publication's window."""
    return structural_similarity(
        array(edited),
        array(reference),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )[1]


@pytest.mark.parametrize("pair", PAIRS)
def test_ssim_agrees_with_scikit_image(pair):
    # piq leaves out the border, where the window sticks out of the image.
    expected = ssim_map(*PAIRS[pair])[:, 5:-5, 5:-5].mean()
    assert score("ssim", *PAIRS[pair])[0] == pytest.approx(expected, abs=1e-6)


def test_ssim_of_large_images_is_that_of_half_their_size():
    reference = picture(7, 384, 400)
    edited = noisy(reference, 0.2)
    halves = [torch.nn.functional.avg_pool2d(image, 2) for image in (edited, reference)]
    assert score("ssim", edited, reference)[0] == pytest.approx(ssim_map(*halves)[:, 5:-5, 5:-5].mean(), abs=1e-6)


@pytest.mark.parametrize("pair", PAIRS)
def test_psnr_agrees_with_scikit_image(pair):
    expected = peak_signal_noise_ratio(*(array(image) for image in PAIRS[pair]), data_range=1.0)
    assert score("psnr", *PAIRS[pair])[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("pair", PAIRS)
def test_vifp_agrees_with_torchmetrics(pair):
    # piq computes on luminance, torchmetrics channel by channel: compare gray images, where both are the same.
    edited, reference = (image.double().mean(dim=1, keepdim=True).expand(-1, 3, -1, -1) for image in PAIRS[pair])
    expected = float(visual_information_fidelity(edited * 255, reference * 255))
    assert score("vifp", edited, reference)[0] == pytest.approx(expected, abs=1e-4)


# SR-SIM and VSI resample their saliency maps, which libraries do differently along the borders.
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("gmsd", 1e-6), ("haarpsi", 1e-4), ("dss", 1e-6), ("sr_sim", 3e-3), ("vsi", 1.5e-3), ("fsim", 2e-4)],
)
def test_agreement_with_the_publication(name, tolerance, pair):
    edited, reference = PAIRS[pair]
    expected = getattr(definitions, name)(array(edited), array(reference))
    assert score(name, edited, reference)[0] == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("name", PAIRWISE)
def test_equal_images_are_most_similar(name):
    assert score(name, picture(), picture())[0] == pytest.approx(BEST.get(name, 1), abs=1e-4)


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("degrade", [noisy, blurred])
def test_similarity_falls_with_growing_distortion(name, degrade):
    strengths = (0.02, 0.08, 0.3) if degrade is noisy else (0.7, 1.5, 4.0)
    values = [score(name, degrade(picture(), strength), picture())[0] for strength in strengths]
    if not METRICS.classes()[name].higher_is_more_similar:
        values = [-value for value in values]
    assert values[0] > values[1] > values[2]


@pytest.mark.parametrize("name", [name for name in PAIRWISE if name != "vifp"])
def test_symmetry(name):
    x, y = picture(0), picture(1)
    assert score(name, x, y)[0] == pytest.approx(score(name, y, x)[0], abs=1e-4)


def test_vifp_measures_the_edit_against_the_reference():
    x, y = picture(), blurred(picture(), 2)
    assert score("vifp", y, x)[0] < 0.5 < score("vifp", x, y)[0]


def test_vifp_exceeds_1_for_an_edit_with_more_contrast():
    assert score("vifp", picture(), faded(picture(), 0.7))[0] > 1.05


@pytest.mark.parametrize("level", [0.0, 127 / 255, 0.5, 1.0])
def test_vifp_of_a_flat_reference_is_not_rounding_noise(level):
    assert score("vifp", flat(0.3), flat(level))[0] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("edit", [picture(), noisy(flat(0.5), 0.01), flat(1)])
def test_a_reference_that_is_flat_is_no_success_of_the_attack_by_vifp(edit):
    assert score("vifp", edit, flat(0.5))[0] == pytest.approx(1, abs=1e-3)
    assert score("vifp", flat(0.5), picture())[0] == pytest.approx(0, abs=1e-3)


def test_brightness_alone_is_seen_by_all_metrics_but_those_that_say_so():
    """Black against white."""
    blind = {name for name in PAIRWISE if score(name, flat(0), flat(1))[0] == pytest.approx(BEST.get(name, 1))}
    assert blind == {"vifp", "vsi"}
    assert all("no term for brightness" in METRICS.classes()[name].__doc__ for name in blind)


def test_dss_of_contrary_images_is_negative_and_no_error():
    binary = (picture(8) > picture(8).mean()).float()
    ramp = torch.linspace(0, 1, binary.shape[-1]).expand_as(binary)
    values = score("dss", torch.cat([binary, 1 - binary]), torch.cat([ramp, ramp]))
    expected = [definitions.dss(array(image), array(ramp)) for image in (binary, 1 - binary)]
    assert values == pytest.approx(expected, abs=1e-6)
    assert min(values) < 0


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("level", [0.0, 127 / 255, 1.0])
def test_flat_edits_have_a_value(name, level):
    """An attack may drive an edit to flat gray; that is a result, not an error."""
    gray = flat(level)
    best = BEST.get(name, 1)
    towards_better = 1 if METRICS.classes()[name].higher_is_more_similar else -1
    assert towards_better * score(name, gray, picture())[0] < towards_better * (best - 0.03 * towards_better)
    assert np.isfinite(score(name, picture(), gray)[0])
    assert score(name, gray, gray)[0] == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("name", ["ssim", "region_ssim"])
def test_ssim_of_nearly_equal_flat_images_is_not_above_1(name):
    """In float32 the local variances cancel so badly that SSIM would come out as 1.0013."""
    levels = torch.arange(0, 255, 5) / 255
    images, lighter = (
        value.view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous() for value in (levels, levels + 1 / 255)
    )
    x, y = images.double(), lighter.double()
    expected = (2 * x * y + 0.01**2) / (x**2 + y**2 + 0.01**2)
    assert score(name, lighter, images) == pytest.approx(expected[:, 0, 0, 0].tolist(), abs=1e-6)


@pytest.mark.parametrize("name", PAIRWISE)
def test_extreme_images_have_a_value_in_the_range(name):
    checks = checkerboard()
    almost_black = flat(0)
    almost_black[0, :, 30, 30] = 1 / 255
    edited = torch.cat([checks, flat(0), almost_black, picture() * 0.02])
    reference = torch.cat([1 - checks, flat(1), flat(0), picture()])
    assert len(score(name, edited, reference)) == 4


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_batch_scores_as_its_images_do(name):
    x, y = torch.cat([picture(0), picture(1)]), torch.cat([noisy(picture(0), 0.1), blurred(picture(1), 1)])
    together = score(name, y, x)
    alone = [score(name, y[index : index + 1], x[index : index + 1])[0] for index in range(2)]
    assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("name", sorted({*PAIRWISE} - {"psnr", "region_psnr"}))
def test_the_scale_is_how_far_unlike_scenes_lie_from_equal_ones(name):
    cases = {case.image_id: case for case in load_dataset("emoji-scenes").cases}
    images = torch.cat([case.image() for case in list(cases.values())[:6]])
    distance = abs(BEST.get(name, 1) - np.mean(score(name, images, images.roll(3, 0))))
    assert METRICS.find(name).scale == pytest.approx(distance, rel=0.2)
