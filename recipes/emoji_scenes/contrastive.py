"""The CLIP of the domain: tells whether an edit follows its prompt, and gives features to FID, precision and recall."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from photoguard_eval.files import write_atomically
from recipes.emoji_scenes.batches import draw_batch, draw_contrasting_batch
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.grids import save_grid
from recipes.emoji_scenes.scenes import SIDE
from recipes.emoji_scenes.text import CONTEXT_LENGTH, encode_captions, make_tokenizer
from recipes.emoji_scenes.training import Settings

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


def clip_config(vocabulary: int) -> dict[str, Any]:
    """Return the architecture in open_clip's form."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {"image_size": SIDE, "layers": 4, "width": 192, "head_width": 32, "patch_size": 8},
            "text_cfg": {
                "context_length": CONTEXT_LENGTH,
                "vocab_size": vocabulary,
                "width": 128,
                "heads": 4,
                "layers": 2,
                "hf_tokenizer_name": "clip",
            },
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    }


class ContrastiveTask:
    """Captions and scenes told apart among those of a batch, by open_clip's loss."""

    def __init__(self, settings: Settings, glyphs: Glyphs) -> None:
        """Make the model.

        Args:
            settings: Of the training.
            glyphs: What draws the objects.
        """
        from open_clip import ClipLoss
        from open_clip.model import CLIP

        self.tokenizer = make_tokenizer()
        self.config = clip_config(len(self.tokenizer))
        architecture = json.loads(json.dumps(self.config["model_cfg"]))
        del architecture["text_cfg"]["hf_tokenizer_name"]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.model = CLIP(**architecture)
        self.modules = nn.ModuleDict({"clip": self.model})
        self.criterion = ClipLoss()
        self.settings = settings
        self.glyphs = glyphs

    def losses(self, step: int) -> Mapping[str, torch.Tensor]:
        """See `training.Task`."""
        with torch.no_grad():
            # As in Radford et al. 2021, logits are scaled by 100 at most.
            self.model.logit_scale.clamp_(0, 4.6052)
        batch = draw_contrasting_batch([self.settings.seed, step], self.settings.batch_size, self.glyphs)
        # On processors, the gradient of torch's fused attention takes several times as long as that of the products.
        with sdpa_kernel(SDPBackend.MATH):
            images, texts, scale = self.model(batch.images, encode_captions(self.tokenizer, batch.captions))
        loss = self.criterion(images.float(), texts.float(), scale.float())
        with torch.no_grad():
            found = (images.float() @ texts.float().T).argmax(1) == torch.arange(len(images))
        return {"loss": loss, "scale": scale, "retrieval": found.float().mean()}

    def draw_grid(self, path: Path) -> None:
        """See `training.Task`: held-out scenes, and below each the scene of 64 whose image suits its caption best."""
        batch = draw_batch([self.settings.seed, 0, 1], 64, self.glyphs, held_out=True)
        with torch.no_grad():
            images, texts, _ = self.model(batch.images, encode_captions(self.tokenizer, batch.captions))
        nearest = (texts @ images.T).argmax(1)
        pictures = (batch.images + 1) / 2
        save_grid(path, [pictures[:10], pictures[nearest[:10]]])

    def export(self, folder: Path) -> None:
        """Write the model in open_clip's format, float16."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        state = self.model.state_dict()
        weights = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
        # A tokenizer that was used keeps how: a new one is the same whether or not this run trained anything.
        make_tokenizer().save_pretrained(folder)
        write_atomically(folder / CONFIG, json.dumps(self.config, indent=1).encode())
        write_atomically(folder / WEIGHTS, save({name: value.contiguous() for name, value in weights.items()}))
