"""What a computation with a model costs, counted from outside of it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photoguard_eval.diffusion.model import LatentDiffusion

MEBIBYTE = 2**20


class CostMeter:
    """Counts the calls of a model's parts while it is entered, by hooks that are removed afterwards.

    Attributes:
        seconds: Wall time.
        unet_calls: Samples that went through the UNet.
        encoder_calls: Samples that went through the encoder.
        gradient_evaluations: Samples whose gradient came back through the encoder, and so to an image.
        peak_memory_mib: Growth of the peak memory of the process, or of the GPU.
        intact: Whether nothing took a hook away while it counted.
    """

    def __init__(self, model: LatentDiffusion) -> None:
        """Prepare to count the calls of a model."""
        self._model = model
        self._handles: list[Any] = []
        self._reset()

    def _reset(self) -> None:
        self.seconds = 0.0
        self.unet_calls = 0
        self.encoder_calls = 0
        self.gradient_evaluations = 0
        self.peak_memory_mib = 0.0
        self.intact = True

    def __enter__(self) -> CostMeter:
        self._reset()
        model = self._model
        self._handles = [
            model.unet.register_forward_pre_hook(self._counting("unet_calls")),
            model.vae.encoder.register_forward_pre_hook(self._counting("encoder_calls")),
            model.vae.encoder.register_forward_hook(self._counting_gradients("gradient_evaluations")),
        ]
        self._memory_before = self._start_memory()
        self._synchronize()
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            self.intact &= handle.id in (handle.hooks_dict_ref() or ())
            handle.remove()
        self._handles = []
        self._synchronize()
        self.seconds = time.perf_counter() - self._started
        self.peak_memory_mib = max(0.0, self._peak_memory() - self._memory_before)

    def cost(self, images: int) -> dict[str, float]:
        """Return what was counted, per image.

        Args:
            images: How many images were worked on.
        """
        return {
            "seconds": self.seconds / images,
            "gradient_evaluations": self.gradient_evaluations / images,
            "unet_calls": self.unet_calls / images,
            "encoder_calls": self.encoder_calls / images,
            "peak_memory_mib": self.peak_memory_mib,
        }

    def _counting(self, name: str) -> Any:
        def count(_module: Any, inputs: tuple[Any, ...]) -> None:
            setattr(self, name, getattr(self, name) + len(inputs[0]))

        return count

    def _counting_gradients(self, name: str) -> Any:
        def count(gradient: Any) -> None:
            setattr(self, name, getattr(self, name) + len(gradient))

        def watch(_module: Any, _inputs: tuple[Any, ...], output: Any) -> None:
            if output.requires_grad:
                output.register_hook(count)

        return watch

    def _synchronize(self) -> None:
        """Wait for a GPU, which else would still be at work when the clock is read."""
        if self._model.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._model.device)

    def _start_memory(self) -> float:
        if self._model.device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._model.device)
            return torch.cuda.memory_allocated(self._model.device) / MEBIBYTE
        _release_freed_memory()
        with contextlib.suppress(OSError):
            # Linux: sets the high-water mark of the process back to what it uses now.
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _process_peak_mib()

    def _peak_memory(self) -> float:
        return peak_memory_mib(self._model.device.type)


def peak_memory_mib(device: str) -> float:
    """Return the most memory that a GPU's allocations or the process have taken so far, in MiB.

    Args:
        device: "cpu" or "cuda".
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / MEBIBYTE
    return _process_peak_mib()


def _release_freed_memory() -> None:
    """Give freed memory back to the system, which else would hide what is allocated in its place."""
    # The young generations: what an attack leaves is young, and all of the libraries is walked through for the old one.
    gc.collect(1)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _process_peak_mib() -> float:
    """Return the high-water mark of the process's resident memory."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
