"""The memory of a GPU: how much is free, that it ran out, and giving it back."""

from __future__ import annotations


def free_memory(device: str) -> int | None:
    """Return the free bytes of a GPU, or None for the processor, whose memory is not rationed."""
    if device == "cpu":
        return None
    import torch

    return int(torch.cuda.mem_get_info(torch.device(device))[0])


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error says that the memory of a GPU does not suffice."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def release_memory() -> None:
    """Give the memory of what failed back to the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
