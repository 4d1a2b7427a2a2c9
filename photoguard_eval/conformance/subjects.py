"""The plug-in that is checked, and what all kinds of plug-ins are held to."""

from __future__ import annotations

import contextlib
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Never, TypeVar

from photoguard_eval.errors import ConfigurationError, PluginError, described
from photoguard_eval.plugins.registry import Plugin, Registry
from photoguard_eval.plugins.tracebacks import own_frames

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

SEEDS = (1, 2)
IDS = ("first", "second")
PROMPTS = ("a dog on a beach", "a red car")
"""Of the two pictures that a plug-in is checked on."""


@dataclass(frozen=True)
class Subject(Generic[T]):
    """A plug-in that is checked.

    Attributes:
        kind: What it is, in the singular.
        plugin: The plug-in.
    """

    kind: str
    plugin: Plugin[T]

    @property
    def instance(self) -> T:
        """The object itself."""
        return self.plugin.instance

    def refuse(self, problem: str) -> Never:
        """Say what is wrong.

        Args:
            problem: What the plug-in does, a full stop, and what to do about it.

        Raises:
            PluginError: Always.
        """
        raise PluginError(f"The {self.kind} {self.plugin.label!r} {problem}")

    def calls(self, call: Callable[[], Any]) -> Any:
        """Return what a call gives. Whatever it raises, except a refusal of the arguments, is the plug-in's error."""
        import torch

        state = _global_state()
        try:
            returned = call()
        except (PluginError, ConfigurationError):
            raise
        except Exception as error:
            frames = own_frames(error, type(self.instance).__module__)
            message = f"The {self.kind} {self.plugin.label!r} raised {described(error)}. Mend it."
            raise PluginError(message).at(frames) from error
        if _global_state() != state:
            self.refuse(
                "changed the global state of a random generator. Draw from the generators that it is given, and keep "
                "libraries that draw globally inside of torch.random.fork_rng()."
            )
        return returned.detach() if isinstance(returned, torch.Tensor) else returned

    def require_picture(self, returned: Any, images: torch.Tensor) -> None:
        """Check that what was returned are images of the shape of those given, in [0, 1]."""
        import torch

        shape = tuple(images.shape)
        if not isinstance(returned, torch.Tensor) or tuple(returned.shape) != shape or not returned.is_floating_point():
            got = (
                f"{returned.dtype} of shape {tuple(returned.shape)}" if isinstance(returned, torch.Tensor) else returned
            )
            self.refuse(f"returned {got!s:.200}. Expected a floating-point tensor of shape {shape}.")
        low, high = float(returned.min()), float(returned.max())
        if not 0 <= low <= high <= 1:
            self.refuse(f"returned values from {low:g} to {high:g}. Expected [0, 1]; clamp them.")


def subject_of(registry: Registry[T], plugin: str | type[T] | T, arguments: Mapping[str, Any]) -> Subject[T]:
    """Build the plug-in that is to be checked, and read back what it was built with.

    Args:
        registry: Of its kind.
        plugin: A class, an instance or a spec.
        arguments: For the constructor of a class.

    Raises:
        PluginError: If it is of another kind, a method takes other arguments than it is given, it cannot be built, or
            does not keep its arguments.
        ConfigurationError: If an argument is refused, or arguments are given for what is built already.
    """
    built = registry.create(plugin, arguments)
    if arguments and not isinstance(plugin, type):
        raise ConfigurationError(
            f"{', '.join(arguments)} cannot be given beside an instance or a spec, which has its arguments. Give the "
            "class with arguments, or the instance alone."
        )
    if built.left_out:
        raise ConfigurationError(f"The {registry.kind} {built.name!r} has no argument {', '.join(built.left_out)}.")
    # From the object, whose class has to keep its arguments, without losing where it came from.
    anew = registry.create(built.instance)
    return Subject(registry.kind, replace(anew, source=built.source))


@contextlib.contextmanager
def other_global_randomness() -> Iterator[None]:
    """Give the global random generators another state, so that what is drawn from them is something else."""
    import numpy as np
    import torch

    own, shared = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        try:
            yield
        finally:
            random.setstate(own)
            np.random.set_state(shared)


def pictures(height: int, width: int, first: int = 0) -> torch.Tensor:
    """Draw two pictures with smooth shapes, edges and fine detail.

    Args:
        height: In pixels.
        width: In pixels.
        first: The seed of the first picture; the second has the next.

    Returns:
        Shape (2, 3, height, width), whole levels of 1/255 in [0, 1].
    """
    import torch
    from torch.nn.functional import interpolate

    images = []
    for seed in (first, first + 1):
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand((1, 3, 5, 5), generator=generator)
        image = interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
        image[..., height // 4 : height // 2, width // 3 : -width // 4] *= 0.4
        image += 0.03 * torch.randn(image.shape, generator=generator)
        images.append((image.clamp(0, 1) * 255).round() / 255)
    return torch.cat(images)


def right_half(images: torch.Tensor) -> torch.Tensor:
    """Return masks that mark the right half of images, (N, 1, H, W)."""
    import torch

    masks = torch.zeros_like(images[:, :1])
    masks[..., images.shape[-1] // 2 :] = 1
    return masks


def with_another_first(images: torch.Tensor) -> torch.Tensor:
    """Return the images with another, darker one in the place of the first: the others may not depend on it."""
    import torch

    return torch.cat([((1 - images[:1]) * 127).round() / 255, images[1:]])


def _global_state() -> bytes:
    import numpy as np
    import torch

    return pickle.dumps((random.getstate(), np.random.get_state(), torch.get_rng_state().numpy()))
