"""What a model is like at a moment, so that it can be told what something else has changed in it.

Weights are told by a sum over all their bits, by a sample of their places, and by torch's own count of changes; modules
by identity: their classes, hooks, modes, processors and whatever else is set on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from photoguard_eval.diffusion.model import LatentDiffusion

SAMPLES = 31
"""Places of each block of weights whose order is told besides the sum."""

SIMPLE = frozenset({bool, int, float, complex, str, bytes, type(None)})
"""What is compared by value; everything else is compared by identity, which no change of behaviour can fake."""

MISSING = object()

Content = dict[Any, Any]


@dataclass(frozen=True)
class ModelState:
    """The state of a model.

    Attributes:
        objects: What is set on each part of it, by the part's path; containers a level deeper.
        weights: A digest of each parameter and buffer, by its path.
    """

    objects: dict[str, tuple[Any, type, Content]]
    weights: dict[str, tuple[Any, ...]]

    @classmethod
    def of(cls, model: LatentDiffusion, known: Mapping[str, tuple[Any, ...]] = MappingProxyType({})) -> ModelState:
        """Take the state of a model; what it derived and keeps is left out, see `LatentDiffusion.forget`.

        Args:
            model: The model.
            known: Digests of its weights, since when nothing but this package worked with it: weights that torch did
                not change since then are not read again.
        """
        modules = dict(_modules(model))
        tokenizers = {f"tokenizer_{number}": tokenizer for number, tokenizer in enumerate(model.text.tokenizers)}
        parts: dict[str, Any] = {"model": model, "text": model.text, **modules}
        objects = {path: (part, type(part), _content(part, model.DERIVED)) for path, part in parts.items()}
        # Tokenizers keep notes in their containers.
        objects.update(
            {path: (tokenizer, type(tokenizer), dict(vars(tokenizer))) for path, tokenizer in tokenizers.items()}
        )
        return cls(objects, _digests(modules, known))

    @property
    def classes(self) -> set[type]:
        """The classes of the parts, and those that they derive from."""
        return {base for _, kind, _ in self.objects.values() for base in kind.__mro__[:-1]}

    def changes(self, now: ModelState) -> list[str]:
        """Name what is otherwise in a later state of the same model, each as a short text."""
        changed = [f"the weights {path}" for path in self.weights if self.weights[path] != now.weights.get(path)]
        for path, (part, kind, content) in self.objects.items():
            other, later_kind, later = now.objects.get(path, (None, kind, {}))
            if other is not part:
                changed.append(f"the module {path}")
            if later_kind is not kind:
                changed.append(f"the class of {path}")
            changed += [_described(path, name) for name in differences(part, content, later)]
        changed += [f"the module {path}" for path in now.objects.keys() - self.objects.keys()]
        return list(dict.fromkeys(changed))


def _modules(model: LatentDiffusion) -> Iterator[tuple[str, torch.nn.Module]]:
    parts = {"unet": model.unet, "vae": model.vae}
    parts |= {f"text_encoder_{number}": encoder for number, encoder in enumerate(model.text.encoders)}
    for name, part in parts.items():
        for path, module in part.named_modules():
            yield f"{name}.{path}".rstrip("."), module


def _content(part: Any, without: tuple[str, ...]) -> Content:
    """Return what is set on an object, and what is in its containers and plain objects."""
    content: Content = {name: value for name, value in vars(part).items() if name not in without}
    for name, value in list(content.items()):
        kind = type(value)
        if kind in SIMPLE:
            continue
        if isinstance(value, dict):
            if value:
                content.update({(name, key): item for key, item in value.items()})
        elif kind in (list, tuple, set):
            content.update({(name, place): item for place, item in enumerate(value)})
        elif name == "processor":
            content.update({(name, key): item for key, item in getattr(value, "__dict__", {}).items()})
    return content


def differences(owner: Any, before: Content, after: Mapping[Any, Any]) -> Iterator[str]:
    """Name what was changed, removed or put before something that the class of the owner defines.

    Args:
        owner: An object, a module or a class.
        before: What was set on it; of what is in a container the name is a pair, of the container and the place.
        after: What is set on it.
    """
    for name, value in before.items():
        if not _same(value, after.get(name, MISSING)):
            yield name[0] if isinstance(name, tuple) else name
    for name in after.keys() - before.keys():
        if isinstance(name, tuple):
            yield name[0]
        elif isinstance(owner, type):
            # Classes keep notes of their own, such as their annotations; a function is none.
            if callable(after[name]) and not name.startswith(("__pydantic", "__annot")):
                yield name
        elif not isinstance(getattr(type(owner), name, None), cached_property | None.__class__):
            # It hides what the class defines; what hides nothing has no effect on code that does not know of it.
            yield name


def _same(value: Any, other: Any) -> bool:
    return value is other or (type(value) is type(other) and type(value) in SIMPLE and repr(value) == repr(other))


def _described(path: str, attribute: str) -> str:
    if "hook" in attribute:
        return f"a hook of {path}"
    if attribute == "training":
        return f"the mode of {path}"
    return f"{path}.{attribute}"


def _digests(
    modules: Mapping[str, torch.nn.Module], known: Mapping[str, tuple[Any, ...]]
) -> dict[str, tuple[Any, ...]]:
    tensors = {
        f"{path}.{name}": tensor
        for path, module in modules.items()
        for name, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None and not tensor.is_meta
    }
    outside = {path: _form(tensor) for path, tensor in tensors.items()}
    if all(known.get(path, ())[:-1] == form for path, form in outside.items()):
        return dict(known)
    sums, order = _sums(list(tensors.values()))
    digests: dict[str, tuple[Any, ...]] = {
        path: (*form, total) for (path, form), total in zip(outside.items(), sums, strict=True)
    }
    return {**digests, "by their order": (order,)}


def _form(tensor: torch.Tensor) -> tuple[Any, ...]:
    return (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.requires_grad, tensor._version)


def _sums(tensors: Sequence[torch.Tensor]) -> tuple[list[int], list[int]]:
    """Sum up the bits of the block of memory that each tensor lies in, and on each device a sample by its places."""
    import torch

    totals: dict[tuple[torch.device, int], torch.Tensor] = {}
    samples: dict[torch.device, list[torch.Tensor]] = {}
    blocks = []
    for tensor in tensors:
        storage = tensor.untyped_storage()
        block = (tensor.device, storage.data_ptr())
        blocks.append(block)
        if block in totals:
            continue
        flat = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
        words = flat[: len(flat) // 8 * 8].view(torch.int64)
        total = words.sum()
        totals[block] = total if len(flat) == 8 * len(words) else total + flat[8 * len(words) :].sum()
        samples.setdefault(tensor.device, []).append(words[:: len(words) // SAMPLES + 1])
    order = []
    values: dict[tuple[torch.device, int], int] = {}
    for device, parts in samples.items():
        sample = torch.cat(parts)
        order.append(int((sample * torch.arange(1, len(sample) + 1, device=device)).sum()))
        # Read from the device at once, not one by one.
        own = [block for block in totals if block[0] == device]
        values.update(zip(own, torch.stack([totals[block] for block in own]).tolist(), strict=True))
    return [values[block] for block in blocks], order
