"""Where a model computes, and in what numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from photoguard_eval.errors import ConfigurationError, ModelError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")


def dtype_of(name: str) -> torch.dtype:
    """Return the type of PyTorch's that a name stands for.

    Raises:
        ConfigurationError: If it is none that models compute in.
    """
    if name not in DTYPES:
        raise ConfigurationError(f"dtype is {name!r}; expected one of {', '.join(DTYPES)}.")
    import torch

    numbers: torch.dtype = getattr(torch, name)
    return numbers


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Lift half precision to float32, in which losses are summed and perturbations are kept."""
    import torch

    return values.to(torch.promote_types(values.dtype, torch.float32))


def require_device(device: str) -> None:
    """Check that a device is there.

    Args:
        device: "cpu", "cuda" or "cuda:<number>".

    Raises:
        ConfigurationError: If it is none of these.
        ModelError: If it is a GPU and there is none, or not so many.
    """
    if device == "cpu":
        return
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise ConfigurationError(f"device is {device!r}; expected 'cpu', 'cuda' or 'cuda:<number>'.")
    import torch

    if not torch.cuda.is_available():
        raise ModelError(
            "--gpu needs a CUDA device, and torch sees none. Run on a machine with a GPU and a CUDA build of torch "
            "(check with `python -c 'import torch; print(torch.cuda.is_available())'`), or leave --gpu out to run on "
            "the processor."
        )
    number, count = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    if number >= count:
        raise ModelError(f"There is no device {device!r}: torch sees {count}, numbered from 0. Choose one of them.")


def require_instructions(device: str, dtype: str) -> None:
    """Check that a device computes in a type, rather than to convert every number back and forth.

    Raises:
        ModelError: If it does not.
    """
    if dtype == "float32" or _has_instructions(device, dtype):
        return
    kind = "GPU" if device.startswith("cuda") else "processor"
    raise ModelError(
        f"This {kind} has no instructions for {dtype}, so that an edit would take many times as long as in full "
        "precision. Use --dtype float32" + ("." if kind == "processor" else " or float16.")
    )


def _has_instructions(device: str, dtype: str) -> bool:
    import torch

    if device.startswith("cuda"):
        return dtype != "bfloat16" or torch.cuda.is_bf16_supported(including_emulation=False)
    supported = {
        "float16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
        "bfloat16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
    }
    return bool(supported[dtype]())
