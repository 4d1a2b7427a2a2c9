"""The network of the amortised attack: trained on scenes of the domain to do what an attack does to each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from numpy.random import Generator
from torch import nn

from photoguard_eval.attacks import AttackBatch, DiffusionAttack, EncoderAttack, GradientAttack
from photoguard_eval.attacks.perturbation_network import PerturbationNetwork
from photoguard_eval.diffusion import EDITORS, Editor, EditSettings
from photoguard_eval.randomness import CaseGenerators, derive_seed
from recipes.emoji_scenes.batches import draw_batch
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.grids import save_grid
from recipes.emoji_scenes.masks import PARTS, Mask, keep_part
from recipes.emoji_scenes.scenes import Scene
from recipes.emoji_scenes.training import Settings

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion


class AmortisedTask:
    """A network that minimises an attack's loss over images instead of over the perturbation of one.

    The loss is the encoder attack's until `refine`, then the diffusion attack's: a step of the latter takes many times
    as long, and from nothing hardly anything is learnt by it. Even steps attack inpainting, odd ones variations, for
    which the mask is empty: one network serves both.
    """

    def __init__(self, settings: Settings, glyphs: Glyphs, model: LatentDiffusion) -> None:
        """Make the network.

        Args:
            settings: Of the first part of the training.
            glyphs: What draws the objects.
            model: What is attacked.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.network = PerturbationNetwork()
        self.modules = nn.ModuleDict({"network": self.network})
        self.settings = settings
        self.glyphs = glyphs
        self.model = model
        # One gradient step of the attack is one evaluation of its loss here.
        self.attack: GradientAttack = EncoderAttack(steps=1)

    def refine(self, settings: Settings) -> None:
        """Go over to the diffusion attack's loss.

        Args:
            settings: Of the second part of the training.
        """
        self.settings = settings
        self.attack = DiffusionAttack(steps=1)

    def losses(self, step: int) -> Mapping[str, torch.Tensor]:
        """See `training.Task`."""
        editor: Editor = EDITORS.create("img2img" if step % 2 else "inpaint").instance
        batch = draw_attacked([self.settings.seed, step], self.settings.batch_size, editor, self.glyphs)
        seeds = [derive_seed(self.settings.seed, step, name) for name in batch.ids]
        objective = self.attack.objective(self.model, batch, CaseGenerators.from_seeds(seeds))
        return {"loss": objective(self.immunize(batch)).mean()}

    def immunize(self, batch: AttackBatch) -> torch.Tensor:
        """Return immunized images, as the attack that carries the network does."""
        return self.network.immunize(batch.images, batch.masks, batch.budget.radius)

    def draw_grid(self, path: Path) -> None:
        """See `training.Task`: held-out scenes, immunized, and the perturbation times ten."""
        editor: Editor = EDITORS.create("inpaint").instance
        batch = draw_attacked([self.settings.seed, 0], 10, editor, self.glyphs, held_out=True)
        with torch.no_grad():
            immunized = self.immunize(batch)
        save_grid(path, [batch.images, immunized, (immunized - batch.images) * 10 + 0.5])

    def export(self, folder: Path) -> None:
        """Write the network for the attack."""
        self.network.save(folder)


def draw_attacked(
    seed: Sequence[int], count: int, editor: Editor, glyphs: Glyphs, *, held_out: bool = False
) -> AttackBatch:
    """Draw scenes to immunize; parts of their subjects are kept.

    Args:
        seed: What the batch is for.
        count: How many.
        editor: What they are immunized against.
        glyphs: What draws the objects.
        held_out: Whether from the combinations that training never sees.
    """
    scenes = draw_batch(seed, count, glyphs, held_out=held_out, mask_rule=_keep_some)
    return AttackBatch(
        images=(scenes.images + 1) / 2,
        masks=scenes.masks if editor.reads_mask else torch.zeros_like(scenes.masks),
        prompts=None,
        ids=tuple(str(index) for index in range(count)),
        editor=editor,
        settings=EditSettings(),
    )


def _keep_some(scene: Scene, random: Generator) -> Mask:
    return keep_part(scene, PARTS[random.integers(len(PARTS))], share=random.uniform(0.4, 0.8))
