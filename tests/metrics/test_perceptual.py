"""LPIPS with drawn weights of AlexNet: what is tested is how it is fed, read, and left out."""

from pathlib import Path

import pytest
import torch
import torchmetrics

from photoguard_eval.errors import MetricError
from photoguard_eval.metrics import METRICS, LearnedPerceptualSimilarity, hub
from tests.conftest import ALEXNET
from tests.metrics.pictures import noisy, picture

IDS = ["fox-0", "fox-1"]
LAYERS = (1, 4, 7, 9, 11)
"""Where AlexNet's five convolutions have been rectified."""

HEADS = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"

SHIFT, SCALE = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])


def score(edited, reference):
    masks = torch.ones(len(edited), 1, *edited.shape[-2:])
    return METRICS.create("lpips").instance.compute(edited, reference, masks, IDS[: len(edited)])


def distance(network, heads, edited, reference):
    """Equation 1 of Zhang et al.: weighted squared differences of unit features, averaged over places, summed."""
    total = 0.0
    features = [(2 * image - 1 - SHIFT[:, None, None]) / SCALE[:, None, None] for image in (edited, reference)]
    for index, layer in enumerate(network.features):
        features = [layer(values.clone()) for values in features]
        if index in LAYERS:
            unit = [values / (values.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for values in features]
            weights = heads[f"lin{LAYERS.index(index)}.model.1.weight"]
            total += float(((unit[0] - unit[1]).square() * weights).sum(dim=1).mean())
    return total


@torch.no_grad()
def test_it_is_the_published_distance(alexnet):
    edited, reference = torch.cat([noisy(picture(0), 0.1), picture(1)]), torch.cat([picture(0), picture(2)])
    heads = torch.load(HEADS, map_location="cpu")
    expected = [distance(alexnet, heads, *pair) for pair in zip(edited.split(1), reference.split(1), strict=True)]
    assert score(edited, reference) == pytest.approx(expected, rel=1e-4)
    assert expected[0] < expected[1]


def test_equal_images_have_no_distance_and_order_does_not_matter(alexnet):
    first, second = picture(3), picture(4)
    assert score(first, first) == [0.0]
    assert score(first, second) == pytest.approx(score(second, first))


def test_the_smallest_images_that_leave_a_feature_are_scored(alexnet):
    assert score(torch.rand(1, 3, 31, 31), torch.rand(1, 3, 31, 31))[0] > 0
    with pytest.raises(MetricError, match="LPIPS needs images of at least 31 pixels a side"):
        score(torch.rand(1, 3, 30, 31), torch.rand(1, 3, 30, 31))


def test_the_global_generator_does_not_notice(alexnet):
    before = torch.random.get_rng_state()
    score(picture(), picture())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_missing_weights_are_said_and_not_downloaded(cache):
    assert LearnedPerceptualSimilarity.weights.missing
    with pytest.raises(MetricError, match=rf"Download {ALEXNET} from .* and put it there, or go without LPIPS"):
        score(picture(), picture())


def test_damaged_weights_are_refused(cache):
    (cache / ALEXNET).write_bytes(b"weights")
    with pytest.raises(MetricError, match="is damaged: its SHA-256 does not begin with 7be5be79"):
        score(picture(), picture())


def test_the_identity_is_the_hash_of_the_weights(cache):
    (cache / ALEXNET).write_bytes(b"weights")
    assert METRICS.create("lpips").instance.identity == f"alexnet {hub.sha256_of_file(cache / ALEXNET)[:12]}"
