import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics import METRICS
from tests.metrics.pictures import SIDE, noisy, picture


def score(name, edited, reference, masks):
    return METRICS.create(name).instance.compute(edited, reference, masks, ["case-0"])[0]


def box(top, bottom, left, right):
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., top:bottom, left:right] = 1
    return mask


def test_region_ssim_is_the_mean_of_scikit_image_s_map_over_the_region():
    x, y = picture(), noisy(picture(), 0.1)
    _, similarity = structural_similarity(
        x[0].double().numpy(),
        y[0].double().numpy(),
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    # Away from the image's border, which the two libraries pad differently.
    mask = box(10, 40, 20, 50) - box(20, 30, 20, 30)
    expected = similarity[:, mask[0, 0].bool().numpy()].mean()
    assert score("region_ssim", y, x, mask) == pytest.approx(expected, abs=1e-5)


def test_region_psnr_is_that_of_the_region_s_pixels():
    x, y = picture(), noisy(picture(), 0.1)
    mask = box(5, 30, 0, 64)
    inside = mask[0, 0].bool()
    error = np.mean((x - y)[0, :, inside].double().numpy() ** 2)
    assert score("region_psnr", y, x, mask) == pytest.approx(10 * np.log10(1 / error), abs=1e-4)


@pytest.mark.parametrize(("name", "best", "reach"), [("region_psnr", 80, 0), ("region_ssim", 1, 5)])
def test_what_changes_outside_of_the_region_does_not_count(name, best, reach):
    x, region = picture(), box(0, 64, 0, 32)
    changed_outside = torch.where(region.bool(), x, 1 - x)
    changed_inside = torch.where(region.bool(), noisy(x, 0.1), x)
    # The window of SSIM reaches 5 pixels over the border of the region.
    assert score(name, changed_outside, x, box(0, 64, 0, 32 - reach)) == pytest.approx(best, abs=1e-6)
    assert score(name, changed_inside, x, region) < 0.9 * best


def test_a_region_of_everything_is_the_whole_image():
    x, y = picture(), noisy(picture(), 0.1)
    everything = torch.ones(1, 1, SIDE, SIDE)
    whole = METRICS.create("psnr").instance.compute(y, x, everything, ["case-0"])[0]
    assert score("region_psnr", y, x, everything) == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize("name", ["region_psnr", "region_ssim"])
def test_a_region_without_pixels_is_an_error(name):
    with pytest.raises(MetricError, match="no edited pixel"):
        score(name, picture(), picture(), torch.zeros(1, 1, SIDE, SIDE))
