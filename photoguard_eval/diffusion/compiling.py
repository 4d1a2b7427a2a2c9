"""Networks that are compiled, for machines on which the compiler takes less time than it saves."""

from __future__ import annotations

from photoguard_eval.diffusion.model import LatentDiffusion
from photoguard_eval.errors import ModelError


def compile_networks(model: LatentDiffusion, backend: str = "inductor") -> None:
    """Have the autoencoder and the UNet compiled by `torch.compile` for each shape that they first run at.

    Results differ from those of the networks as they are by rounding.

    Args:
        model: The model.
        backend: Of `torch.compile`; "eager" traces only.

    Raises:
        ModelError: If there is no compiler for the device.
    """
    import torch
    import torch._dynamo

    try:
        torch.compile(torch.neg, backend=backend)(torch.ones(1, device=model.device))
    except Exception as error:
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"The networks cannot be compiled here: {cause[0]}. On a processor torch.compile needs a C++ compiler "
            "(on Debian the package g++), on a GPU Triton, which comes with torch. Install it, or leave --compile "
            "out."
        ) from error
    # Attacks on attention hook layers after they were compiled; by default a compiled network overlooks that.
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    for part in (model.vae.encoder, model.vae.decoder, model.unet):
        part.compile(backend=backend)
