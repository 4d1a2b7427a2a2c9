"""Prompts as the UNet reads them: embeddings of their tokens, and of the whole where the checkpoint has them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PromptEmbeddings:
    """What a UNet is told of prompts.

    Attributes:
        tokens: Shape (N, tokens, width), without gradient.
        pooled: Embeddings of the whole prompts, (N, width), for checkpoints with two text encoders; else None.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def repeat(self, count: int) -> PromptEmbeddings:
        """Repeat the whole batch `count` times."""
        return PromptEmbeddings.join([self] * count)

    @staticmethod
    def join(parts: Sequence[PromptEmbeddings]) -> PromptEmbeddings:
        """Put batches behind one another."""
        import torch

        pooled = [part.pooled for part in parts if part.pooled is not None]
        return PromptEmbeddings(torch.cat([part.tokens for part in parts]), torch.cat(pooled) if pooled else None)


@dataclass(frozen=True)
class TextEncoder:
    """One or two text encoders of CLIP with their tokenizers.

    Attributes:
        encoders: A `CLIPTextModel`, and for Stable Diffusion XL a `CLIPTextModelWithProjection` beside it.
        tokenizers: One for each.
        empty_is_zero: Whether guidance leads away from zeros, as the pipeline of Stable Diffusion XL does, rather than
            from the embeddings of the empty prompt.

    The encoders may be on another device than the UNet that reads their embeddings, and compute in another type.
    """

    encoders: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    empty_is_zero: bool = False

    def embed(self, prompts: Sequence[str], device: torch.device, dtype: torch.dtype) -> PromptEmbeddings:
        """Encode prompts.

        Args:
            prompts: N texts; one longer than the limit is cut, with a warning.
            device: Where the embeddings are wanted.
            dtype: In what type.
        """
        import torch

        limit = self.tokenizers[0].model_max_length
        for prompt, length in zip(prompts, self.token_counts(prompts), strict=True):
            if length > limit:
                warnings.warn(f"The prompt is cut to {limit} tokens of {length}: {prompt!r}", stacklevel=3)
        is_single = len(self.encoders) == 1
        with torch.no_grad():
            outputs = [
                encoder(self._ids(tokenizer, prompts).to(encoder.device), output_hidden_states=not is_single)
                for encoder, tokenizer in zip(self.encoders, self.tokenizers, strict=True)
            ]
        if is_single:
            return PromptEmbeddings(outputs[0].last_hidden_state.to(device, dtype))
        # Stable Diffusion XL reads the layers before the last ones, and the second encoder's summary of the prompt.
        tokens = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return PromptEmbeddings(tokens.to(device, dtype), outputs[1].text_embeds.to(device, dtype))

    def unconditional(self, count: int, device: torch.device, dtype: torch.dtype) -> PromptEmbeddings:
        """Return what guidance leads away from, `count` times; see `embed`."""
        import torch

        empty = self.embed([""] * count, device, dtype)
        if not self.empty_is_zero:
            return empty
        return PromptEmbeddings(
            torch.zeros_like(empty.tokens), None if empty.pooled is None else torch.zeros_like(empty.pooled)
        )

    def token_counts(self, prompts: Sequence[str]) -> list[int]:
        """Return how many tokens each prompt has, those of its beginning and its end included."""
        return [len(ids) for ids in self.tokenizers[0](list(prompts), padding=False, truncation=False).input_ids]

    @staticmethod
    def _ids(tokenizer: Any, prompts: Sequence[str]) -> torch.Tensor:
        ids: torch.Tensor = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return ids
