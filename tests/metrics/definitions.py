"""Pairwise metrics written down from their publications in NumPy and SciPy, as references that share no code with piq.

All take two images as float64 arrays (3, H, W) in [0, 1] with sides below 384 pixels, where the publications leave an
image at its size or halve it.
"""

import numpy as np
from numpy.fft import fft2, fftfreq, ifft2
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import convolve, uniform_filter
from scipy.signal import convolve2d, correlate2d
from skimage.color import rgb2lab
from torch import from_numpy
from torch.nn.functional import interpolate

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
LMN = np.array([[0.06, 0.63, 0.27], [0.30, 0.04, -0.35], [0.34, -0.60, 0.17]])
PREWITT = np.array([[1, 0, -1]] * 3) / 3
SCHARR = np.array([[3, 0, -3], [10, 0, -10], [3, 0, -3]]) / 16


def transformed(image, matrix):
    return np.einsum("ij,jhw->ihw", matrix, image * 255)


def similarity(a, b, constant):
    return (2 * a * b + constant) / (a**2 + b**2 + constant)


def gradient_magnitude(channel, kernel):
    return np.hypot(convolve(channel, kernel, mode="constant"), convolve(channel, kernel.T, mode="constant"))


def halved(channel):
    return channel.reshape(channel.shape[0] // 2, 2, channel.shape[1] // 2, 2).mean(axis=(1, 3))


def gmsd(x, y):
    """Xue et al. 2014, Eqs. 4 to 6."""
    first, second = (gradient_magnitude(halved(transformed(image, YIQ)[0]), PREWITT) for image in (x, y))
    return similarity(first, second, 170).std()


def haarpsi(x, y):
    """Reisenhofer et al. 2018, Eqs. 10 to 13, C = 30 and α = 4.2."""

    def central(channel, kernel):
        half = len(kernel) // 2
        return np.abs(convolve2d(channel, kernel)[half:, half:][: channel.shape[0], : channel.shape[1]])

    def responses(luma, scale):
        step = np.repeat([1, -1], 2 ** (scale - 1))[:, None] * np.ones((1, 2**scale)) / 2**scale
        return central(luma, step), central(luma, step.T)

    (x_luma, *x_chroma), (y_luma, *y_chroma) = (
        [halved(channel) for channel in transformed(image, YIQ)] for image in (x, y)
    )
    pairs = [list(zip(responses(x_luma, scale), responses(y_luma, scale), strict=True)) for scale in (1, 2, 3)]
    locals_ = [np.mean([similarity(*pairs[scale][side], 30) for scale in (0, 1)], axis=0) for side in (0, 1)]
    weights = [np.maximum(*pairs[2][side]) for side in (0, 1)]
    mean = np.ones((2, 2)) / 4
    chroma = [similarity(central(a, mean), central(b, mean), 30) for a, b in zip(x_chroma, y_chroma, strict=True)]
    locals_.append(np.mean(chroma, axis=0))
    weights.append(np.mean(weights, axis=0))
    share = np.sum(np.array(weights) / (1 + np.exp(-4.2 * np.array(locals_)))) / np.sum(weights)
    return (np.log(share / (1 - share)) / 4.2) ** 2


def dss(x, y):
    """Balanov et al. 2015: similarity of the subbands of the 8 × 8 cosine transform, worst twentieth of the blocks."""
    offsets = np.arange(-1, 2)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def subbands(image):
        luma = transformed(image, YIQ)[0]
        rows, columns = (side // 8 for side in luma.shape)
        return dctn(luma.reshape(rows, 8, columns, 8), axes=(1, 3), norm="ortho")

    def blurred(band):
        return convolve(band, window, mode="constant")

    def worst(values):
        return np.sort(values, axis=None)[: round(0.05 * values.size)].mean()

    first, second = subbands(x), subbands(y)
    total = weights = 0.0
    for u in range(8):
        for v in range(8):
            weight = np.exp(-((u + 0.5) ** 2 + (v + 0.5) ** 2) / (2 * 1.55**2))
            if weight < 0.01:
                continue
            a, b = first[:, u, :, v], second[:, u, :, v]
            constant = 1000 if u == v == 0 else 300
            variance_a, variance_b = (np.maximum(blurred(c**2) - blurred(c) ** 2, 0) for c in (a, b))
            score = worst(similarity(np.sqrt(variance_a), np.sqrt(variance_b), constant))
            if u == v == 0:
                covariance = blurred(a * b) - blurred(a) * blurred(b)
                score *= worst((covariance + constant) / (np.sqrt(variance_a * variance_b) + constant))
            total += weight * score
            weights += weight
    return total / weights


def sr_sim(x, y):
    """Zhang and Li 2012: spectral residual saliency and gradients, C1 = 0.40, C2 = 225, α = 0.5."""

    def resized(channel, shape):
        return np.array(Image.fromarray(channel.astype(np.float32)).resize(shape[::-1], Image.Resampling.BICUBIC))

    def saliency(luma):
        small = resized(luma, (luma.shape[0] // 4, luma.shape[1] // 4)).astype(float)
        spectrum = fft2(small)
        log_amplitude = np.log(np.abs(spectrum))
        residual = log_amplitude - uniform_filter(log_amplitude, 3, mode="nearest")
        power = np.abs(ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
        offsets = np.arange(10) - 4.5
        window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 3.8**2))
        smooth = correlate2d(np.pad(power, (4, 5)), window / window.sum(), mode="valid")
        return resized((smooth - smooth.min()) / np.ptp(smooth), luma.shape)

    first, second = (transformed(image, YIQ)[0] for image in (x, y))
    salient = saliency(first), saliency(second)
    gradients = similarity(gradient_magnitude(first, SCHARR), gradient_magnitude(second, SCHARR), 225)
    weights = np.maximum(*salient)
    return (similarity(*salient, 0.40) * np.sqrt(gradients) * weights).sum() / weights.sum()


def vsi(x, y):
    """Zhang et al. 2014: SDSP saliency at 256 × 256, gradients and chrominance."""

    def resized(channels, shape, corners):
        return interpolate(from_numpy(channels)[None], shape, mode="bilinear", align_corners=corners)[0].numpy()

    def saliency(image):
        lab = rgb2lab(resized(image, (256, 256), False), channel_axis=0)
        radius = np.hypot(fftfreq(256)[:, None], fftfreq(256))
        inside = (radius > 0) & (radius <= 0.5)
        band = np.zeros_like(radius)
        band[inside] = np.exp(-(np.log(radius[inside] / 0.021) ** 2) / (2 * 1.34**2))
        frequency = np.sqrt((ifft2(fft2(lab) * band).real ** 2).sum(axis=0))
        from_centre = np.arange(1, 257) - 128
        location = np.exp(-(from_centre[:, None] ** 2 + from_centre**2) / 145.0**2)
        warmth = [(channel - channel.min()) / np.ptp(channel) for channel in lab[1:]]
        colour = 1 - np.exp(-(warmth[0] ** 2 + warmth[1] ** 2) / 0.001**2)
        whole = resized((frequency * location * colour)[None], image.shape[1:], True)[0]
        return (whole - whole.min()) / np.ptp(whole)

    salient = saliency(x), saliency(y)
    first, second = transformed(x, LMN), transformed(y, LMN)
    gradients = similarity(gradient_magnitude(first[0], SCHARR), gradient_magnitude(second[0], SCHARR), 386)
    chroma = similarity(first[1], second[1], 130) * similarity(first[2], second[2], 130)
    coloured = (chroma.astype(complex) ** 0.02).real
    weights = np.maximum(*salient)
    return (similarity(*salient, 1.27) * gradients**0.4 * coloured * weights).sum() / weights.sum()


def phase_congruency(luma):
    """Kovesi's phase congruency as Zhang et al. 2011 configure it: four scales, four orientations, noise removed."""
    vertical, horizontal = fftfreq(luma.shape[0])[:, None], fftfreq(luma.shape[1])
    radius, angle = np.hypot(vertical, horizontal), np.arctan2(vertical, horizontal)
    low_pass = 1 / (1 + (radius / 0.45) ** 30)
    radius[0, 0] = 1
    radial = [np.exp(-(np.log(radius * 6 * 2**scale) ** 2) / (2 * np.log(0.55) ** 2)) * low_pass for scale in range(4)]
    spectrum = fft2(luma)
    energies = amplitudes = 0.0
    for orientation in range(4):
        away = np.angle(np.exp(1j * (angle - orientation * np.pi / 4)))
        spread = np.exp(-(away**2) / (2 * (np.pi / 4 / 1.2) ** 2))
        filters = np.array([band * spread for band in radial])
        filters[:, 0, 0] = 0
        responses = ifft2(spectrum * filters)
        direction = responses.sum(axis=0)
        direction = direction / np.abs(direction)
        along = responses * direction.conj()
        energy = (along.real - np.abs(along.imag)).sum(axis=0)
        noise_power = np.median(np.abs(responses[0]) ** 2) / np.log(2) / (filters[0] ** 2).sum()
        impulses = ifft2(filters).real * np.sqrt(luma.size)
        # Σ Aᵢ² + 2 Σ AᵢAⱼ over pairs of scales is the square of the sum.
        tau = np.sqrt(noise_power * (impulses.sum(axis=0) ** 2).sum())
        threshold = tau * (np.sqrt(np.pi / 2) + 2 * np.sqrt(2 - np.pi / 2)) / 1.7
        energies = energies + np.maximum(energy - threshold, 0)
        amplitudes = amplitudes + np.abs(responses).sum(axis=0)
    return energies / amplitudes


def fsim(x, y):
    """Zhang et al. 2011, FSIMc: T1 = 0.85, T2 = 160, T3 = T4 = 200, λ = 0.03."""
    first, second = transformed(x, YIQ), transformed(y, YIQ)
    congruent = phase_congruency(first[0]), phase_congruency(second[0])
    gradients = similarity(gradient_magnitude(first[0], SCHARR), gradient_magnitude(second[0], SCHARR), 160)
    chroma = similarity(first[1], second[1], 200) * similarity(first[2], second[2], 200)
    weights = np.maximum(*congruent)
    local = similarity(*congruent, 0.85) * gradients * np.abs(chroma) ** 0.03
    return (local * weights).sum() / weights.sum()
