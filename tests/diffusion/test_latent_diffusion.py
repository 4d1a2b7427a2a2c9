import pytest
import torch

from photoguard_eval.diffusion.guidance import Scales
from photoguard_eval.errors import ConfigurationError, ModelError
from photoguard_eval.randomness import CaseGenerators
from tests.tiny import assemble, half_masks, random_images, tiny_components, tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def test_weights_are_frozen(model):
    parts = (model.vae, model.unet, *model.text.encoders)
    assert not any(parameter.requires_grad for part in parts for parameter in part.parameters())
    assert not any(part.training for part in parts)


def test_shapes(model):
    latents = model.encode(random_images(2))
    assert latents.shape == (2, 4, 16, 16)
    assert model.decode(latents).shape == (2, 3, 32, 32)
    assert model.embed_prompts(["a dog", ""]).tokens.shape == (2, 16, 16)
    assert (model.downscale_factor, model.size_multiple, model.native_size) == (2, 4, 32)


def test_encode_gives_the_mean_before_scaling(model):
    images = random_images(2)
    with torch.no_grad():
        expected = model.vae.encode(images * 2 - 1).latent_dist.mean
        posterior = model.posterior(images)
    assert torch.allclose(model.encode(images), expected, atol=1e-6)
    assert torch.allclose(posterior.mean, expected * model.vae.config.scaling_factor, atol=1e-6)


def test_a_sample_comes_from_each_image_s_own_generator(model):
    images = random_images(2)
    both = model.posterior(images).draw(CaseGenerators.from_seeds([1, 2]))
    second = model.posterior(images[1:]).draw(CaseGenerators.from_seeds([2]))
    assert torch.allclose(both[1], second[0], atol=1e-5)
    assert not torch.allclose(both, model.posterior(images).draw(None))


def test_a_round_trip_uses_one_scale(model):
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        decoded = model.vae.decode(latents).sample / 2 + 0.5
        assert torch.allclose(model.decode(latents * model.vae.config.scaling_factor), decoded, atol=1e-5)


def test_a_shift_is_taken_off_before_scaling_and_put_back_after():
    model = tiny_model()
    images = random_images(1)
    model.vae.register_to_config(scaling_factor=0.5, shift_factor=0.25)
    with torch.no_grad():
        mean = model.encode(images)
        assert torch.allclose(model.posterior(images).mean, (mean - 0.25) * 0.5, atol=1e-6)
        decoded = model.vae.decode(mean).sample / 2 + 0.5
        assert torch.allclose(model.decode((mean - 0.25) * 0.5), decoded, atol=1e-5)


def test_gray_is_encoded_once_per_size(model):
    calls = []
    handle = model.vae.encoder.register_forward_pre_hook(lambda _module, inputs: calls.append(inputs[0].shape))
    first, second = model.posterior_of_gray(32, 32), model.posterior_of_gray(32, 32)
    other = model.posterior_of_gray(16, 32)
    handle.remove()
    assert calls == [(1, 3, 32, 32), (1, 3, 16, 32)]
    assert second is first
    assert other.mean.shape == (1, 4, 8, 16)
    assert torch.equal(first.mean, model.posterior(torch.full((1, 3, 32, 32), 0.5)).mean)


@pytest.mark.parametrize("steps", [0, 1000, 1001])
def test_more_steps_than_the_schedule_has_are_refused(model, steps):
    with pytest.raises(ConfigurationError, match=f"num_inference_steps is {steps}; expected 1 to 999"):
        model.scheduler(steps)
    assert len(model.scheduler(999).timesteps) == 999


def test_the_gradient_of_the_encoder_matches_finite_differences():
    model = tiny_model(dtype=torch.float64)
    images = random_images(1).double().requires_grad_(True)
    weights = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((model.posterior(images).mean * weights).sum(), images)
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    step = 1e-5
    with torch.no_grad():
        above = (model.posterior(images + step * direction).mean * weights).sum()
        below = (model.posterior(images - step * direction).mean * weights).sum()
    assert float((gradient * direction).sum()) == pytest.approx(float((above - below) / (2 * step)), rel=1e-6)


def test_guidance_extrapolates_from_the_unconditional_branch(model):
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    conditioning = torch.cat([half_masks(1, 16), latents], dim=1)
    timestep = torch.tensor(400)
    dog, empty = model.embed_prompts(["a dog"]), model.embed_prompts([""])

    def predict(embeddings, **options):
        with torch.no_grad():
            return model.predict_noise(latents, timestep, embeddings, conditioning=conditioning, **options)

    guided = predict(dog, unconditional_embeddings=empty, scales=Scales(text=3.0))
    assert torch.allclose(guided, predict(empty) + 3 * (predict(dog) - predict(empty)), atol=1e-5)


def test_a_prompt_too_long_is_cut_with_a_warning(model):
    with pytest.warns(UserWarning, match="cut to 16 tokens"):
        model.embed_prompts(["dog " * 40])


@pytest.mark.parametrize("input_channels", [3, 7, 5])
def test_other_channel_counts_are_refused(input_channels):
    parts = tiny_components(input_channels)
    with pytest.raises(ModelError, match=f"takes {input_channels} channels"):
        assemble(parts)
