"""What a checkpoint was trained for, told from the channels that its UNet takes."""

from __future__ import annotations

from typing import Literal

from photoguard_eval.errors import ModelError

Kind = Literal["inpainting", "text-to-image", "instruction"]
"""To repaint a region, to draw from text, or to follow instructions on an image."""


def kind_of_unet(input_channels: int, latent_channels: int) -> Kind:
    """Tell what a UNet was trained for from the channels it takes.

    Raises:
        ModelError: If they fit no kind.
    """
    if input_channels == latent_channels:
        return "text-to-image"
    if input_channels == 2 * latent_channels + 1:
        return "inpainting"
    if input_channels == 2 * latent_channels:
        return "instruction"
    raise ModelError(
        f"The UNet takes {input_channels} channels for {latent_channels} latent channels. Supported are "
        f"{latent_channels} (text-to-image), {2 * latent_channels} (instructions: latents and the image's latents) and "
        f"{2 * latent_channels + 1} (inpainting: latents, mask and latents of the masked image)."
    )
