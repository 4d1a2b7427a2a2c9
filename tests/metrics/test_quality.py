import math

import pytest
import torch

from photoguard_eval.metrics import quality_scores


class Clip:
    """Embeds images as their mean colours, and the two prompts along red and green."""

    def embed_images(self, images):
        return images.mean(dim=(2, 3))

    def embed_texts(self, texts):
        assert texts == ("Good photo.", "Bad photo.")
        return torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.5, 0.0]])


def test_the_score_is_the_share_of_the_good_prompt():
    images = torch.tensor([[0.6, 0.6, 0.2], [0.61, 0.6, 0.2], [0.0, 0.9, 0.0]])[..., None, None].expand(-1, -1, 8, 8)
    scores = quality_scores(Clip(), images)
    difference = 0.01 / math.sqrt(0.61**2 + 0.6**2 + 0.2**2)
    assert scores.tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-100 * difference)), 0.0], abs=1e-4)
