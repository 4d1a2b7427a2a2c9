"""The classical purifiers: what each does to an image, and that gradients pass through those that say so."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.purifiers import PURIFIERS
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import random_images

NAMES = sorted(PURIFIERS.classes())


def smooth_images(count=2, side=64):
    coarse = random_images(count, side=8)
    images = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic", align_corners=False)
    return (images.clamp(0, 1) * 255).round() / 255


def purify(spec, images):
    purifier = PURIFIERS.create(spec).instance
    return purifier.purify(images, CaseGenerators.from_seeds(range(len(images))))


@pytest.mark.parametrize("name", NAMES)
def test_images_keep_shape_and_range_and_their_neighbours_do_not_matter(name):
    images = random_images(2, side=32)
    purified = purify(name, images)
    assert purified.shape == images.shape
    assert 0 <= purified.min() <= purified.max() <= 1
    assert not torch.equal(purified, images)
    alone = PURIFIERS.create(name).instance.purify(images[1:], CaseGenerators.from_seeds([1]))
    assert torch.allclose(alone[0], purified[1], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_pass_through_what_says_so(name):
    images = smooth_images(1, 32).requires_grad_(True)
    purified = purify(name, images)
    (gradient,) = torch.autograd.grad(purified.square().sum(), images, allow_unused=True)
    passes = gradient is not None and bool((gradient != 0).float().mean() > 0.1)
    assert passes == PURIFIERS.create(name).instance.differentiable


@pytest.mark.parametrize("quality", [75, 95])
def test_jpeg_is_near_the_real_one(quality):
    images = smooth_images()
    for image, purified in zip(images, purify(f"jpeg,quality={quality}", images), strict=True):
        buffer = io.BytesIO()
        pixels = (image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as opened:
            real = torch.from_numpy(np.array(opened)).permute(2, 0, 1) / 255
        apart = (purified - real).square().mean().sqrt()
        assert apart < 2 * (image - real).square().mean().sqrt() + 1 / 255


def test_a_lower_quality_leaves_less():
    images = random_images(1, side=64)
    errors = [float((purify(f"jpeg,quality={quality}", images) - images).abs().mean()) for quality in (95, 75, 30)]
    assert errors == sorted(errors)


def test_noise_has_its_deviation_and_its_own_generator():
    images = torch.full((2, 3, 64, 64), 0.5)
    change = purify("gaussian-noise,deviation=0.05", images) - 0.5
    assert change.std() == pytest.approx(0.05, rel=0.05)
    assert not torch.equal(change[0], change[1])


def test_the_median_is_pillow_s_inside_of_the_image():
    images = random_images(1, side=32)
    pixels = (images[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    real = np.array(Image.fromarray(pixels).filter(ImageFilter.MedianFilter(3)))
    found = (purify("median", images)[0].permute(1, 2, 0).numpy() * 255).round()
    assert np.array_equal(found[1:-1, 1:-1], real[1:-1, 1:-1])


def test_a_blur_keeps_flat_images_and_smooths_others():
    flat = torch.full((1, 3, 32, 32), 0.3)
    assert torch.allclose(purify("blur", flat), flat, atol=1e-5)
    rough = random_images(1, side=32)
    assert purify("blur", rough).std() < 0.5 * rough.std()


def test_a_rotation_there_and_back_gives_the_middle_again():
    images = smooth_images()
    back = purify("rotation,degrees=-5", purify("rotation,degrees=5", images))
    assert (back - images)[..., 16:48, 16:48].abs().mean() < 0.02


def test_a_crop_enlarges_the_middle():
    images = torch.zeros(1, 3, 40, 40)
    images[..., 2:-2, 2:-2] = 1
    assert torch.allclose(purify("crop,share=0.9", images), torch.ones_like(images))
    assert torch.equal(purify("crop,share=1", images), images)


def test_fewer_bits_are_fewer_levels():
    assert len(purify("bit-depth,bits=2", random_images(1)).unique()) == 4


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("jpeg,quality=0", "quality is 0"),
        ("jpeg,quality=101", "quality is 101"),
        ("gaussian-noise,deviation=-1", "deviation is -1"),
        ("blur,size=4", "size is 4; expected an odd"),
        ("blur,sigma=0", "sigma is 0"),
        ("median,size=2", "size is 2"),
        ("crop,share=0", "share is 0"),
        ("crop,share=1.5", "share is 1.5"),
        ("bit-depth,bits=9", "bits is 9"),
        ("jpg", "Did you mean 'jpeg'"),
    ],
)
def test_bad_specs_are_refused(spec, message):
    with pytest.raises(ConfigurationError, match=message):
        PURIFIERS.create(spec)
