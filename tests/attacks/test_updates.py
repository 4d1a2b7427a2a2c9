"""One step of each attack equals the update derived by hand on a linear model, in float64.

The derivations use matrices alone: of the encoder, which maps an image in [0, 1] to the mean of its latents, and of the
UNet with its three inputs (noised latents, mask, latents of the visible part). No gradient is computed by the machine.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from photoguard_eval.attacks import (
    AceAttack,
    AdvDmAttack,
    AdvPaintAttack,
    AttackBatch,
    BlurGuardAttack,
    DaynAttack,
    DiffusionAttack,
    DiffusionGuardAttack,
    EncoderAttack,
    MistAttack,
    PidAttack,
    RobustAttack,
    SdsAttack,
)
from photoguard_eval.attacks.blurguard import RegionBlur
from photoguard_eval.attacks.targets import pattern
from photoguard_eval.diffusion import EditSettings, Img2ImgEditor, InpaintEditor
from photoguard_eval.randomness import CaseGenerators
from tests.linear import CHANNELS, SCALE, SIDE, linear_model
from tests.tiny import half_masks, random_images

STEP = 0.5 / 255
SETTINGS = EditSettings(num_inference_steps=4, sample_latents=False)
LATENTS = CHANNELS * (SIDE // 2) ** 2
PROMPT = "a dog in a meadow"


@pytest.fixture(scope="module")
def model():
    return linear_model()


@pytest.fixture(scope="module")
def batch():
    # Away from black and white, so that no step is cut off at the edge of [0, 1].
    images = 0.3 + 0.4 * random_images(1, side=SIDE).double()
    return AttackBatch(images, half_masks(1, SIDE).double(), (PROMPT,), ("image",), InpaintEditor(), SETTINGS)


class ByHand:
    """The model as matrices, for one image and the random numbers of one step."""

    def __init__(self, model, batch, start=None, seed=7):
        images = batch.images if start is None else start
        self.x = images.flatten().numpy()
        self.kept = batch.kept.expand(1, 3, SIDE, SIDE).flatten().numpy()
        self.mean, self.mean_bias = affine(lambda x: conv(x * 2 - 1, model.vae.mean))
        self.log_deviation, _ = affine(lambda x: conv(x * 2 - 1, model.vae.log_deviation))
        self.gray = self.mean @ np.full(self.x.shape, 0.5) + self.mean_bias
        self.visible = self.kept * self.x + 0.5 * (1 - self.kept)
        self.target = self.mean @ pattern(SIDE, SIDE).double().flatten().numpy() + self.mean_bias
        matrix = model.unet.matrix.numpy()
        positions = (SIDE // 2) ** 2
        self.on_latents = np.kron(matrix[:, :CHANNELS], np.eye(positions))
        self.on_mask = np.kron(matrix[:, CHANNELS : CHANNELS + 1], np.eye(positions))
        self.on_visible = np.kron(matrix[:, CHANNELS + 1 :], np.eye(positions))
        self.mask = batch.masks[..., ::2, ::2].flatten().numpy()
        self.generator = CaseGenerators.from_seeds([seed])
        self.model = model

    def latents(self, image):
        return self.mean @ image + self.mean_bias

    def noise(self, choices=None):
        """Timestep and noise, drawn in the order in which the attack draws them."""
        like = torch.zeros(1, dtype=torch.float64)
        timestep = int(self.generator.integers(1000 if choices is None else len(choices), like))
        timestep = timestep if choices is None else int(choices[timestep])
        signal = float(self.model.scheduler(1).alphas_cumprod[timestep])
        return signal, self.first_noise()

    def first_noise(self):
        side = SIDE // 2
        return self.generator.normal((CHANNELS, side, side), torch.zeros(1, dtype=torch.float64)).flatten().numpy()

    def prediction(self, noised):
        conditioning = self.on_visible @ (SCALE * self.latents(self.visible))
        return self.on_latents @ noised + self.on_mask @ self.mask + conditioning

    def denoising(self, choices=None):
        """Prediction, noise and the prediction's Jacobian: through the noised image and the visible part of it."""
        signal, noise = self.noise(choices)
        noised = signal**0.5 * SCALE * self.latents(self.x) + (1 - signal) ** 0.5 * noise
        jacobian = SCALE * (signal**0.5 * self.on_latents @ self.mean + self.on_visible @ self.mean * self.kept)
        return self.prediction(noised), noise, jacobian

    def toward_target(self):
        """Gradient of the squared distance of the latents to the target's, in the UNet's scale."""
        return 2 * SCALE**2 * (self.mean * self.kept).T @ (self.latents(self.visible) - self.target)

    def step(self, gradient):
        """The image after a step of descent."""
        return self.x - STEP * np.sign(gradient) * self.kept


def conv(images, weight):
    return torch.nn.functional.conv2d(images, weight, stride=2)


def affine(function):
    """A map from images to latents as matrix and vector."""
    basis = torch.eye(3 * SIDE * SIDE, dtype=torch.float64).reshape(-1, 3, SIDE, SIDE)
    bias = function(torch.zeros_like(basis[:1])).flatten()
    return (function(basis).flatten(1) - bias).T.numpy(), bias.numpy()


def decoder():
    """The decoder, which paints each pixel of a square from the latents of that square, as a matrix."""
    positions, half = (SIDE // 2) ** 2, SIDE // 2
    matrix = np.zeros((3, SIDE, SIDE, CHANNELS, positions))
    weight = linear_model().vae.decoding.numpy()
    for row in range(SIDE):
        for column in range(SIDE):
            matrix[:, row, column, :, row // 2 * half + column // 2] = weight[:, :, row % 2, column % 2].T
    return matrix.reshape(3 * SIDE * SIDE, CHANNELS * positions)


def moved(attack, model, batch, seed=7):
    generator = CaseGenerators.from_seeds([seed])
    return attack.perturb(model, batch, generator).flatten().numpy()


def assert_same(found, expected, hand):
    assert np.abs(found - expected).max() < 1e-12
    assert np.abs(found - hand.x)[hand.kept == 1].max() > STEP / 2, "a step that goes nowhere would agree"


def random_start(batch, seed=7):
    """The random start of an attack, and the generator's state after it."""
    noise = CaseGenerators.from_seeds([seed]).uniform((3, SIDE, SIDE), -16 / 255, 16 / 255, batch.images)
    return (batch.images + noise * batch.kept).clamp(0, 1)


def test_encoder(model, batch):
    attack = EncoderAttack(steps=1, step_size=STEP, random_start=False)
    hand = ByHand(model, batch)
    difference = hand.latents(hand.visible) - hand.gray
    gradient = (hand.mean * hand.kept).T @ difference / np.linalg.norm(difference)
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


def test_pid(model, batch):
    attack = PidAttack(steps=1, step_size=STEP)
    hand = ByHand(model, batch, random_start(batch))
    change = hand.kept * (hand.x - batch.images.flatten().numpy())
    # ‖E δ‖² / n + ‖2 B δ‖² / n, to be raised.
    gradient = -(2 * hand.mean.T @ hand.mean + 8 * hand.log_deviation.T @ hand.log_deviation) @ change / LATENTS
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


def test_advdm(model, batch):
    attack = AdvDmAttack(steps=1, step_size=STEP)
    hand = ByHand(model, batch)
    prediction, noise, jacobian = hand.denoising()
    gradient = -2 / LATENTS * jacobian.T @ (prediction - noise)
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


@pytest.mark.parametrize("mode", ["textural", "semantic", "fused"])
def test_mist(model, batch, mode):
    weight = 5e3
    attack = MistAttack(steps=1, step_size=STEP, mode=mode, weight=weight)
    hand = ByHand(model, batch)
    prediction, noise, jacobian = hand.denoising()
    textural = hand.toward_target() * 16384 / LATENTS
    semantic = -2 / LATENTS * jacobian.T @ (prediction - noise)
    gradient = {"textural": textural, "semantic": semantic, "fused": textural + weight * semantic}[mode]
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)
    # Had the latents another scale, the two losses would be weighed otherwise.
    unscaled = textural / SCALE**2 + weight * semantic
    alike = np.sign(unscaled) == np.sign(textural + weight * semantic)
    assert not alike[hand.kept == 1].all(), "the balance of the losses would not be noticed"


@pytest.mark.parametrize(("direction", "sign"), [("minus", 1), ("plus", -1)])
@pytest.mark.parametrize("weight", [0.0, 1 / 5])
def test_sds(model, batch, direction, sign, weight):
    attack = SdsAttack(steps=1, step_size=STEP, direction=direction, target_weight=weight)
    hand = ByHand(model, batch)
    prediction, noise, _ = hand.denoising()
    gradient = sign * SCALE * hand.mean.T @ (prediction - noise) + weight * hand.toward_target()
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("options", "first"), [({}, 600), ({"timesteps_from": 0.0}, 0)])
def test_ace(batch, kind, options, first):
    """The output itself is compared with the target, whatever it stands for, at timesteps from 600 on of 1000."""
    model = linear_model(prediction_type=kind)
    attack = AceAttack(steps=1, step_size=STEP, **options)
    hand = ByHand(model, batch)
    prediction, _, jacobian = hand.denoising(range(first, 1000))
    gradient = 2 / LATENTS * jacobian.T @ (prediction - SCALE * hand.target)
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


def test_diffusionguard(model, batch):
    attack = DiffusionGuardAttack(steps=1, step_size=STEP, shrinking_strength=0)
    hand = ByHand(model, batch)
    prediction = hand.prediction(hand.first_noise())
    jacobian = SCALE * hand.on_visible @ hand.mean * hand.kept
    gradient = -jacobian.T @ prediction / np.linalg.norm(prediction)
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


def test_diffusionguard_with_a_shrunken_region(model, batch):
    """The kept half shrinks along its contour, and what is no longer kept is repainted: not seen, and masked."""
    attack = DiffusionGuardAttack(steps=1, step_size=STEP, shrinking_strength=12, shrinking_iterations=16)
    hand = ByHand(model, batch)
    depths = hand.generator.uniform((1, SIDE, SIDE), 0, 12 * 16 * SIDE / 512, batch.images)[0, 0].numpy()
    kept = batch.kept[0, 0].numpy()
    # A straight contour: the distance to it is counted along the rows, from the first column that is not kept.
    columns = np.arange(SIDE)
    distance = SIDE // 2 - columns if kept[0, 0] else columns - SIDE // 2 + 1
    shrunken = kept * (distance > depths)
    assert 0 < shrunken.sum() < kept.sum()
    hand.mask = 1 - shrunken[::2, ::2].flatten()
    seen = np.tile(shrunken.flatten(), 3)
    hand.visible = seen * hand.x + 0.5 * (1 - seen)
    prediction = hand.prediction(hand.first_noise())
    jacobian = SCALE * hand.on_visible @ hand.mean * seen
    gradient = -jacobian.T @ prediction / np.linalg.norm(prediction)
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


def test_diffusion(model, batch):
    """One denoising step without noise: z = a · noise + b · prediction, decoded, and its distance to gray, zero."""
    attack = DiffusionAttack(steps=1, step_size=STEP, denoising_steps=1, eta=0.0)
    hand = ByHand(model, batch)
    hand.generator = hand.generator.spawn(1)
    noise = hand.first_noise()
    prediction = hand.prediction(noise)
    scheduler = model.scheduler(1)
    signal, last = float(scheduler.alphas_cumprod[int(scheduler.timesteps[0])]), float(scheduler.final_alpha_cumprod)
    clean = (noise - (1 - signal) ** 0.5 * prediction) / signal**0.5
    decoded = decoder() @ (last**0.5 * clean + (1 - last) ** 0.5 * prediction) / SCALE
    of_prediction = (1 - last) ** 0.5 - last**0.5 * (1 - signal) ** 0.5 / signal**0.5
    jacobian = of_prediction * decoder() @ hand.on_visible @ hand.mean * hand.kept
    gradient = jacobian.T @ decoded / np.linalg.norm(decoded)
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


def test_advpaint(model, batch):
    attack = AdvPaintAttack(steps=1, step_size=STEP)
    hand = ByHand(model, batch, random_start(batch))
    positions = (SIDE // 2) ** 2
    jacobian = SCALE * np.concatenate([np.zeros((LATENTS + positions, len(hand.x))), hand.mean * hand.kept])
    change = jacobian @ (hand.x - batch.images.flatten().numpy())
    itself, text = model.unet.attn1, model.unet.attn2
    gradient = 0
    for layer in (itself.to_q, itself.to_k, itself.to_v, text.to_q):
        projection = np.kron(layer.weight.detach().numpy(), np.eye(positions))
        shift = projection @ change
        gradient = gradient - (projection @ jacobian).T @ shift / np.linalg.norm(shift)
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


def test_dayn(model, batch):
    # The linear model looks at each position alone, so the edited one must be one that the image reaches.
    batch = replace(batch, masks=torch.zeros_like(batch.masks), editor=Img2ImgEditor())
    attack = DaynAttack(steps=1, step_size=STEP)
    hand = ByHand(model, batch)
    signal, noise = hand.noise(model.scheduler(10).timesteps)
    noised = signal**0.5 * SCALE * hand.latents(hand.x) + (1 - signal) ** 0.5 * noise
    positions = (SIDE // 2) ** 2
    inputs = np.concatenate([noised, np.ones(positions), SCALE * hand.gray])
    jacobian = SCALE * np.concatenate([signal**0.5 * hand.mean, np.zeros((LATENTS + positions, len(hand.x)))])
    layer = model.unet.attn2
    width = layer.to_q.weight.shape[0] // layer.heads
    keys = (model.embed_prompts([PROMPT]).tokens[0] @ layer.to_k.weight.T).detach().numpy()
    # "a dog in a meadow": five words after the token of the beginning.
    words = slice(1, 6)
    gradient = 0
    for position in range(positions):
        rows = np.arange(2 * CHANNELS + 1) * positions + position
        query = layer.to_q.weight.detach().numpy() @ inputs[rows]
        for head in range(layer.heads):
            part = slice(head * width, (head + 1) * width)
            weights = np.exp(layer.scale * keys[:, part] @ query[part])
            weights /= weights.sum()
            share = weights[words].sum()
            # d(share)/d(query) of a softmax: Σ_w p_w (k_w − Σ_j p_j k_j).
            slope = layer.scale * (weights[words] @ keys[words, part] - share * weights @ keys[:, part])
            gradient = gradient + slope @ layer.to_q.weight.detach().numpy()[part] @ jacobian[rows]
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)


def test_blurguard(model, batch):
    attack = BlurGuardAttack(steps=1, step_size=STEP)
    start = random_start(batch)
    blur = RegionBlur(batch.images, batch.kept)
    blur.sigmas = [[1.0] * len(blur.sigmas[0])]
    basis = torch.eye(3 * SIDE * SIDE, dtype=torch.float64).reshape(-1, 1, 3, SIDE, SIDE) * 0.1
    matrix = np.stack([(blur(batch.images + one) - batch.images).flatten().numpy() / 0.1 for one in basis], axis=1)
    original = batch.images.flatten().numpy()

    hand = ByHand(model, batch, start)
    blurred = original + matrix @ (hand.x - original)
    difference = hand.latents(hand.kept * blurred + 0.5 * (1 - hand.kept)) - hand.target
    gradient = (hand.mean * hand.kept @ matrix).T @ difference
    stepped = np.clip(hand.step(gradient) - original, -16 / 255, 16 / 255) * hand.kept
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("photoguard_eval.attacks.blurguard.matching_sigma", lambda *_: 1.0)
        found = moved(attack, model, batch)
    assert np.abs(found - (original + matrix @ stepped)).max() < 1e-12


def test_expectation_over_transformations(model, batch):
    attack = RobustAttack(attack=f"mist(mode=textural;steps=1;step_size={STEP})", purifiers="blur(size=3;sigma=1)")
    hand = ByHand(model, batch)
    line = np.exp(-0.5 * np.array([-1.0, 0.0, 1.0]) ** 2)
    line /= line.sum()
    one = np.zeros((SIDE, SIDE))
    for row in range(SIDE):
        for offset, weight in zip((-1, 0, 1), line, strict=True):
            mirrored = row + offset
            mirrored = -mirrored if mirrored < 0 else mirrored
            mirrored = 2 * (SIDE - 1) - mirrored if mirrored >= SIDE else mirrored
            one[row, mirrored] += weight
    blur = np.kron(np.eye(3), np.kron(one, one))

    def gradient_at(transform):
        seen = hand.kept * (transform @ hand.x) + 0.5 * (1 - hand.kept)
        return (hand.mean * hand.kept @ transform).T @ (hand.latents(seen) - hand.target)

    gradient = gradient_at(np.eye(len(hand.x))) + gradient_at(blur)
    assert_same(moved(attack, model, batch), hand.step(gradient), hand)
