"""Pairwise metrics against references that share no code with piq, and against their definitions."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, gaussian_filter, uniform_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import visual_information_fidelity

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics import METRICS, PairwiseMetric

PAIRWISE = [name for name, metric in METRICS.classes().items() if metric.kind == "pairwise"]
SIDE = 64


def picture(seed=0, side=SIDE):
    """A picture with smooth shapes and edges, 8-bit."""
    random = np.random.default_rng(seed)
    smooth = gaussian_filter(random.normal(size=(side, side, 3)), (4, 4, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    smooth[side // 4 : side // 2, side // 3 : -side // 4] *= 0.4
    levels = np.round(smooth * 255) / 255
    return torch.from_numpy(levels).permute(2, 0, 1)[None].float()


def noisy(image, sigma, seed=1):
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + sigma * noise).clamp(0, 1)


def blurred(image, sigma):
    return torch.from_numpy(gaussian_filter(image.numpy(), (0, 0, sigma, sigma)))


def score(name, edited, reference, masks=None):
    masks = torch.ones(len(edited), 1, *edited.shape[-2:]) if masks is None else masks
    ids = [f"case-{index}" for index in range(len(edited))]
    return METRICS.create(name).instance.compute(edited, reference, masks, ids)


def gray(image):
    """Luma of YIQ in levels, as the metrics' publications use it."""
    red, green, blue = (image[0, channel].double().numpy() * 255 for channel in range(3))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def halved(image):
    """Average 2 × 2 blocks."""
    return image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2).mean(axis=(1, 3))


def test_ssim_agrees_with_scikit_image():
    x, y = picture(), noisy(picture(), 0.1)
    expected = structural_similarity(
        x[0].permute(1, 2, 0).numpy(),
        y[0].permute(1, 2, 0).numpy(),
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    # scikit-image pads the borders that piq leaves out.
    assert score("ssim", y, x)[0] == pytest.approx(expected, abs=0.02)


def test_psnr_agrees_with_scikit_image():
    x, y = picture(), noisy(picture(), 0.1)
    expected = peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1.0)
    assert score("psnr", y, x)[0] == pytest.approx(expected, abs=1e-3)


def test_vifp_agrees_with_torchmetrics():
    x, y = picture(), noisy(picture(), 0.05)
    # piq computes on luminance, torchmetrics channel by channel: compare on gray images, where both are one channel.
    x, y = (image.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1) for image in (x, y))
    expected = float(visual_information_fidelity(y * 255, x * 255))
    assert score("vifp", y, x)[0] == pytest.approx(expected, abs=0.02)


def test_gmsd_agrees_with_its_definition():
    x, y = picture(), noisy(picture(), 0.1)
    prewitt = np.array([[1, 0, -1]] * 3) / 3

    def gradient(image):
        image = halved(gray(image))
        return np.hypot(convolve(image, prewitt), convolve(image, prewitt.T))[1:-1, 1:-1]

    first, second = gradient(x), gradient(y)
    constant = 170
    similarity = (2 * first * second + constant) / (first**2 + second**2 + constant)
    assert score("gmsd", y, x)[0] == pytest.approx(similarity.std(), abs=0.01)


def test_haarpsi_agrees_with_its_definition():
    x, y = picture(), noisy(picture(), 0.1)

    def channels(image):
        red, green, blue = (uniform_halved(image[0, channel].double().numpy() * 255) for channel in range(3))
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        in_phase = 0.596 * red - 0.274 * green - 0.322 * blue
        quadrature = 0.211 * red - 0.523 * green + 0.312 * blue
        return luma, in_phase, quadrature

    def uniform_halved(image):
        return uniform_filter(image, 2, mode="constant", origin=-1)[::2, ::2]

    def haar(image, scale):
        size = 2**scale
        step = np.ones((size, size)) / size
        step[: size // 2] *= -1
        return [np.abs(convolve(image, kernel, mode="constant")) for kernel in (step, step.T)]

    constant, alpha = 30.0, 4.2
    (x_luma, *x_colour), (y_luma, *y_colour) = channels(x), channels(y)
    total = weights = 0.0
    for orientation in range(2):
        scales_x = [haar(x_luma, scale)[orientation] for scale in (1, 2, 3)]
        scales_y = [haar(y_luma, scale)[orientation] for scale in (1, 2, 3)]
        local = np.mean(
            [
                (2 * a * b + constant) / (a**2 + b**2 + constant)
                for a, b in zip(scales_x[:2], scales_y[:2], strict=True)
            ],
            axis=0,
        )
        weight = np.maximum(scales_x[2], scales_y[2])
        total += (weight / (1 + np.exp(-alpha * local))).sum()
        weights += weight.sum()
        colour_weight = weight / 2
        colours = [
            (2 * a * b + constant) / (a**2 + b**2 + constant)
            for a, b in (
                [np.abs(uniform_filter(image, 2)) for image in pair] for pair in zip(x_colour, y_colour, strict=True)
            )
        ]
        total += (colour_weight / (1 + np.exp(-alpha * np.mean(colours, axis=0)))).sum()
        weights += colour_weight.sum()
    share = total / weights
    expected = (np.log(share / (1 - share)) / alpha) ** 2
    # The definition leaves open how borders and the chroma weights are filtered, which matters little.
    assert score("haarpsi", y, x)[0] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("name", PAIRWISE)
def test_equal_images_are_most_similar(name):
    expected = {"psnr": 80, "region_psnr": 80, "gmsd": 0}.get(name, 1)
    assert score(name, picture(), picture())[0] == pytest.approx(expected, abs=1e-4)


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


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_edits_have_a_value(name, level):
    """An attack may drive an edit to flat gray; that is a result, not an error."""
    flat = torch.full((1, 3, SIDE, SIDE), level)
    assert np.isfinite(score(name, flat, picture())[0])
    assert np.isfinite(score(name, picture(), flat)[0])
    equal = score(name, flat, flat)[0]
    assert equal == pytest.approx({"psnr": 80, "region_psnr": 80, "gmsd": 0}.get(name, 1), abs=1e-4)


@pytest.mark.parametrize("name", PAIRWISE)
def test_a_batch_scores_as_its_images_do(name):
    x, y = torch.cat([picture(0), picture(1)]), torch.cat([noisy(picture(0), 0.1), blurred(picture(1), 1)])
    together = score(name, y, x)
    alone = [score(name, y[index : index + 1], x[index : index + 1])[0] for index in range(2)]
    assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("name", ["region_psnr", "region_ssim"])
def test_region_metrics_see_the_edited_region_alone(name):
    x = picture()
    masks = torch.zeros(1, 1, SIDE, SIDE)
    masks[..., : SIDE // 2] = 1
    changed_outside = torch.where(masks.bool(), x, 1 - x)
    changed_inside = torch.where(masks.bool(), noisy(x, 0.1), x)
    border = 6 if name == "region_ssim" else 0
    inner = masks.clone()
    inner[..., SIDE // 2 - border :] = 0
    best = 80 if name == "region_psnr" else 1
    assert score(name, changed_outside, x, inner)[0] == pytest.approx(best, abs=1e-3)
    assert score(name, changed_inside, x, masks)[0] < 0.9 * best


def test_region_psnr_is_that_of_the_region_s_pixels():
    x = torch.full((1, 3, SIDE, SIDE), 0.5)
    masks = torch.zeros(1, 1, SIDE, SIDE)
    masks[..., :10, :10] = 1
    edited = x + 0.1 * masks
    assert score("region_psnr", edited, x, masks)[0] == pytest.approx(20, abs=1e-3)


def test_a_region_without_pixels_is_an_error():
    with pytest.raises(MetricError, match="no edited pixel"):
        score("region_psnr", picture(), picture(), torch.zeros(1, 1, SIDE, SIDE))


@pytest.mark.parametrize(("name", "side"), [("vifp", 40), ("dss", 32), ("sr_sim", 32), ("ssim", 10)])
def test_images_too_small_are_refused(name, side):
    small = torch.rand(1, 3, side, side)
    with pytest.raises(MetricError, match=f"these are {side} × {side}"):
        score(name, small, small)


def test_images_of_different_sizes_are_refused():
    with pytest.raises(MetricError, match="the same for all"):
        score("ssim", picture(), picture(side=48))


class Returning(PairwiseMetric):
    name = "returning"
    label = "Returning"
    higher_is_more_similar = True
    source = "test"

    def __init__(self, values):
        self.values = values

    def _scores(self, edited, reference, masks):
        return torch.tensor(self.values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1.5, -0.5])
def test_a_value_that_is_none_is_an_error_with_the_case(bad):
    images = torch.cat([picture(0), picture(1)])
    with pytest.raises(MetricError, match="Returning of fox-1 is"):
        Returning([0.5, bad]).compute(images, images, torch.ones(2, 1, SIDE, SIDE), ["fox-0", "fox-1"])


def test_float_noise_outside_of_the_range_is_clipped():
    images = picture()
    masks = torch.ones(1, 1, SIDE, SIDE)
    assert Returning([1 + 1e-6]).compute(images, images, masks, ["fox-0"]) == [1.0]


def test_a_metric_that_loses_images_is_an_error():
    images = torch.cat([picture(0), picture(1)])
    with pytest.raises(MetricError, match="1 values for 2 images"):
        Returning([0.5]).compute(images, images, torch.ones(2, 1, SIDE, SIDE), ["fox-0", "fox-1"])
