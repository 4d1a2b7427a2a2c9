"""Pictures to score, and ways to spoil them."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

SIDE = 64


def picture(seed=0, height=SIDE, width=SIDE):
    """A colourful picture with smooth shapes and edges, 8-bit."""
    random = np.random.default_rng(seed)
    smooth = gaussian_filter(random.normal(size=(height, width, 3)), (4, 4, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    smooth[height // 4 : height // 2, width // 3 : -width // 4] *= 0.4
    levels = np.round(smooth * 255) / 255
    return torch.from_numpy(levels).permute(2, 0, 1)[None].float()


def flat(level):
    return torch.full((1, 3, SIDE, SIDE), float(level))


def checkerboard():
    return ((torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2).float().expand(1, 3, SIDE, SIDE).clone()


def noisy(image, sigma, seed=1):
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return (image + sigma * noise).clamp(0, 1)


def blurred(image, sigma):
    return torch.from_numpy(gaussian_filter(image.numpy(), (0, 0, sigma, sigma)))


def faded(image, contrast):
    return image.mean() + (image - image.mean()) * contrast
