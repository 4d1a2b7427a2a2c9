"""Similarity of an edit and its prompt (paper, Figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from photoguard_eval.metrics.base import PromptMetric, register_metric

if TYPE_CHECKING:
    import torch

    from photoguard_eval.metrics.clip import TextImageModel


@register_metric
class ClipSimilarity(PromptMetric):
    """Cosine similarity of the CLIP embeddings of an edit and its prompt."""

    name = "clip_similarity"
    label = "CLIP similarity"
    higher_is_more_similar = True
    lower_bound = -1.0
    source = "Radford et al. 2021; open_clip"
    table = "figure 7"
    printed = True
    position = 13
    ranked = True
    on_board = True
    under_pictures = True

    def _scores(self, model: TextImageModel, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        from torch.nn.functional import cosine_similarity

        return cosine_similarity(model.embed_images(images), model.embed_texts(prompts))
