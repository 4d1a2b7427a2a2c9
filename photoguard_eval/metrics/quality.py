"""How good an image looks by itself, without a reference: CLIP-IQA (Wang et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.metrics.clip import TextImageModel

if TYPE_CHECKING:
    import torch

ANTONYMS = ("Good photo.", "Bad photo.")
"""The pair of prompts for overall quality (Section 3.2)."""

LOGIT_SCALE = 100.0
"""What CLIP multiplies cosine similarities by, as it is trained."""


def quality_scores(clip: TextImageModel, images: torch.Tensor) -> torch.Tensor:
    """Score images by which of two opposite prompts CLIP finds closer (Eq. 2).

    Unlike its authors' CLIP this one keeps its position embeddings, and images are resized to the size that it was
    trained on. Scores are for comparing images with one another.

    Args:
        clip: Trained on photographs and their captions.
        images: Shape (N, 3, H, W) in [0, 1].

    Returns:
        Shape (N,), in [0, 1]; higher is better.
    """
    from torch.nn.functional import normalize

    similarities = normalize(clip.embed_images(images)) @ normalize(clip.embed_texts(ANTONYMS)).T
    scores: torch.Tensor = (LOGIT_SCALE * similarities).softmax(dim=1)[:, 0]
    return scores
