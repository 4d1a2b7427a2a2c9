"""The gradient of each attack is that of its published loss, written here once more on the model's parts.

Nothing of the package computes these losses: images are in [−1, 1] and masked by multiplication, so that gray is zero,
and autoencoder, UNet and scheduler are called as the released pipelines call them. Random numbers are drawn from the
same seeds in the same order.
"""

from dataclasses import dataclass

import pytest
import torch
from torch.nn.functional import cosine_similarity, interpolate

from photoguard_eval.attacks import ATTACKS, AttackBatch
from photoguard_eval.attacks.targets import pattern
from photoguard_eval.diffusion import EditSettings, InpaintEditor
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import SIDE, half_masks, random_images, tiny_model

SEEDS = (3, 4)
PROMPTS = ("a dog in a meadow", "a red car under water")
AGREEMENT = 0.9999
LATENT_SIDE = SIDE // 2
LATENTS = 4 * LATENT_SIDE**2


class Released:
    """A checkpoint for inpainting by its parts, and the random numbers of one gradient."""

    def __init__(self, model, batch):
        self.vae, self.unet, self.model = model.vae, model.unet, model
        self.scale = model.vae.config.scaling_factor
        self.masks, self.originals = batch.masks, batch.images * 2 - 1
        self.latent_masks = interpolate(batch.masks, size=(LATENT_SIDE, LATENT_SIDE))
        self.generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
        self.signal = model.scheduler(1).alphas_cumprod

    def normal(self):
        shape = (4, LATENT_SIDE, LATENT_SIDE)
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])

    def timesteps(self, first=0, end=1000):
        return first + torch.stack([torch.randint(end - first, (), generator=one) for one in self.generators])

    def text(self, prompts=("", "")):
        return self.model.embed_prompts(prompts).tokens

    def visible(self, images):
        return self.vae.encode(images * (1 - self.masks)).latent_dist

    def target(self):
        return self.vae.encode(pattern(SIDE, SIDE) * 2 - 1).latent_dist.mean

    def noised(self, images, timesteps, noise):
        signal = self.signal[timesteps][:, None, None, None]
        return signal.sqrt() * self.scale * self.vae.encode(images).latent_dist.mean + (1 - signal).sqrt() * noise

    def predict(self, latents, timesteps, masked, text=None):
        inputs = torch.cat([latents, self.latent_masks, masked], dim=1)
        text = self.text() if text is None else text
        return self.unet(inputs, timesteps, encoder_hidden_states=text).sample

    def denoising(self, images, first=0, prompts=("", "")):
        """Noise, and what the UNet returns for the images noised by it to timesteps from the first on."""
        timesteps = self.timesteps(first)
        noise = self.normal()
        noised = self.noised(images, timesteps, noise)
        masked = self.scale * self.visible(images).mean
        return noise, self.predict(noised, timesteps, masked, self.text(prompts))

    def training_loss(self, images, prompts=("", "")):
        noise, predicted = self.denoising(images, prompts=prompts)
        return (predicted - noise).square().mean(dim=(1, 2, 3))

    def start(self, images):
        """Noise that an edit begins with, and a sample of the masked image's latents."""
        noise, posterior = self.normal(), self.visible(images)
        return noise, self.scale * (posterior.mean + posterior.std * self.normal())


def encoder(released, images):
    return (released.visible(images).mean - released.visible(torch.zeros_like(images)).mean).flatten(1).norm(dim=1)


def encoder_to_zero(released, images):
    return released.visible(images).mean.flatten(1).norm(dim=1)


def pid(released, images):
    found, original = released.visible(images), released.visible(released.originals)
    mean, log_variance = found.mean - original.mean, found.logvar - original.logvar
    return -mean.square().mean(dim=(1, 2, 3)) - log_variance.square().mean(dim=(1, 2, 3))


def advdm(released, images):
    return -released.training_loss(images)


def mist(released, images):
    """Σ(E(x) − E(x_targ))² − λ · L, where 512 × 512 pixels have 4 · 64 · 64 latents and λ = 10⁴."""
    distance = (released.scale * (released.visible(images).mean - released.target())).square().sum(dim=(1, 2, 3))
    return distance - 1e4 * LATENTS / (4 * 64 * 64) * released.training_loss(images, ("a painting",) * 2)


def ace(released, images):
    return (released.denoising(images, first=600)[1] - released.scale * released.target()).square().sum(dim=(1, 2, 3))


def diffusion(released, images):
    """Four steps of DDIM with both branches of guidance, decoded; neither clipped nor put together with the image."""
    # The attack draws from generators of its own, one for each repetition.
    seeds = [int(torch.randint(2**62, (1,), generator=generator)) for generator in released.generators]
    released.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    latents, masked = released.start(images)
    scheduler = released.model.scheduler(4)
    for timestep in scheduler.timesteps:
        unconditional, conditional = (released.predict(latents, timestep, masked) for _ in range(2))
        predicted = unconditional + 7.5 * (conditional - unconditional)
        noise = released.normal()
        latents = scheduler.step(predicted, timestep, latents, eta=1.0, variance_noise=noise).prev_sample
    return released.vae.decode(latents / released.scale).sample.flatten(1).norm(dim=1)


def diffusionguard(released, images):
    latents, masked = released.start(images)
    return -released.predict(latents, 751, masked).flatten(1).norm(dim=1)


def advpaint(released, images):
    """Queries, keys and values of self-attention and queries of cross-attention, at the first step of the edit."""
    parts = [
        part
        for name, module in released.unet.named_modules()
        if name.endswith(("attn1", "attn2"))
        for part in ([module.to_q, module.to_k, module.to_v] if name.endswith("attn1") else [module.to_q])
    ]
    noise, deviations = released.normal(), released.normal()

    def projections(shown):
        outputs = []
        handles = [part.register_forward_hook(lambda *call: outputs.append(call[2])) for part in parts]
        posterior = released.visible(shown)
        released.predict(noise, 751, released.scale * (posterior.mean + posterior.std * deviations))
        for handle in handles:
            handle.remove()
        return outputs

    with torch.no_grad():
        originals = projections(released.originals)
    shifts = zip(projections(images), originals, strict=True)
    return -sum((moved - original).flatten(1).norm(dim=1) for moved, original in shifts)


def dayn(released, images):
    """‖M ⊙ Σ_l A_l‖₁ on the words of the prompt, with the maps of all layers brought to the latents' size."""
    maps = []
    schedule = released.model.scheduler(10).timesteps
    timesteps = schedule[released.timesteps(end=10)]
    noised = released.noised(images, timesteps, released.normal())
    processors = dict(released.unet.attn_processors)
    released.unet.set_attn_processor({
        name: RecordedAttention(maps) if "attn2" in name else processor for name, processor in processors.items()
    })  # fmt: skip
    released.predict(noised, timesteps, released.scale * released.visible(images).mean, released.text(PROMPTS))
    released.unet.set_attn_processor(processors)
    # Five words each, after the token of the beginning.
    rows = [interpolate(one[..., 1:6].sum(dim=-1), size=(LATENT_SIDE, LATENT_SIDE)) for one in maps]
    return (released.latent_masks * sum(rows)).abs().sum(dim=(1, 2, 3))


@dataclass
class RecordedAttention:
    """Attention written out, which leaves its weights behind as maps, (N, 1, h, w, tokens)."""

    maps: list

    def __call__(self, layer, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        queries, keys, values = (
            projection(of).unflatten(-1, (layer.heads, -1)).transpose(1, 2)
            for projection, of in (
                (layer.to_q, hidden_states),
                (layer.to_k, encoder_hidden_states),
                (layer.to_v, encoder_hidden_states),
            )
        )
        weights = (queries @ keys.mT * queries.shape[-1] ** -0.5).softmax(dim=-1)
        side = int(weights.shape[2] ** 0.5)
        self.maps.append(weights.mean(dim=1, keepdim=True).unflatten(2, (side, side)))
        return layer.to_out[0]((weights @ values).transpose(1, 2).flatten(2))


LOSSES = {
    "encoder": encoder,
    "encoder,target=zero": encoder_to_zero,
    "pid": pid,
    "advdm": advdm,
    "mist": mist,
    "ace": ace,
    "diffusion": diffusion,
    "diffusionguard,shrinking_strength=0": diffusionguard,
    "advpaint": advpaint,
    "dayn": dayn,
}
BOTH_KINDS = ("ace", "diffusion")
"""Whose loss is the same on a checkpoint that predicts v; what the others take for ε would have to be converted."""


@pytest.fixture(scope="module")
def batch():
    settings = EditSettings(num_inference_steps=4)
    originals = random_images(2) * 0.6 + 0.2
    return AttackBatch(originals, half_masks(2), PROMPTS, ("first", "second"), InpaintEditor(), settings)


@pytest.fixture(scope="module")
def models():
    return {kind: tiny_model(prediction_type=kind) for kind in ("epsilon", "v_prediction")}


@pytest.fixture(scope="module")
def perturbed(batch):
    """Where the gradients are compared: away from the originals, at which some losses have none."""
    return batch.images + (random_images(2, seed=1) - 0.5) * 16 / 255


def gradient(spec, model, batch, images):
    loss = ATTACKS.create(spec).instance.objective(model, batch, CaseGenerators.from_seeds(SEEDS))
    images = images.clone().requires_grad_()
    return torch.autograd.grad(loss(images).sum(), images)[0] * batch.kept


def require_agreement(found, expected):
    cosines = cosine_similarity(found.flatten(1), expected.flatten(1))
    assert cosines.min() >= AGREEMENT, cosines


@pytest.mark.parametrize(
    ("spec", "kind"),
    [(spec, "epsilon") for spec in LOSSES] + [(spec, "v_prediction") for spec in BOTH_KINDS],
)
def test_gradients_agree_with_the_published_loss(models, batch, perturbed, spec, kind):
    found = gradient(spec, models[kind], batch, perturbed)
    images = (perturbed * 2 - 1).requires_grad_()
    loss = LOSSES[spec](Released(models[kind], batch), images)
    require_agreement(found, torch.autograd.grad(loss.sum(), images)[0] * batch.kept)


@pytest.mark.parametrize(("direction", "sign"), [("minus", 1), ("plus", -1)])
def test_the_score_is_passed_back_through_the_encoder_alone(models, batch, perturbed, direction, sign):
    found = gradient(f"sds,direction={direction}", models["epsilon"], batch, perturbed)
    images = (perturbed * 2 - 1).requires_grad_()
    released = Released(models["epsilon"], batch)
    with torch.no_grad():
        noise, predicted = released.denoising(images)
    latents = released.vae.encode(images).latent_dist.mean
    (expected,) = torch.autograd.grad(latents, images, sign * (predicted - noise))
    require_agreement(found, expected * batch.kept)
