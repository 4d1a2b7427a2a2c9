"""Every checkpoint of the package: what it is made of, and the command that makes it from nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from photoguard_eval.diffusion import load_model
from photoguard_eval.files import write_atomically
from recipes.emoji_scenes.amortised import AmortisedTask
from recipes.emoji_scenes.autoencoder import AutoencoderTask, DecoderTask
from recipes.emoji_scenes.contrastive import ContrastiveTask
from recipes.emoji_scenes.denoiser import DenoiserKind, DenoiserTask
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.latents import encode_scenes
from recipes.emoji_scenes.training import RECORD, Settings, train

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

Widths = tuple[int, int, int]


@dataclass(frozen=True)
class AutoencoderRecipe:
    """An autoencoder: trained whole, then its decoder alone, which leaves the latents as they are.

    Attributes:
        widths: Channels at full, half and quarter size.
        joint: Training of the whole.
        decoder: Training of the decoder for sharpness, masked images included.
        polish: Training of the decoder for PSNR.
    """

    widths: Widths
    joint: Settings
    decoder: Settings
    polish: Settings


@dataclass(frozen=True)
class DenoiserRecipe:
    """A UNet and its text encoder.

    Attributes:
        kind: What it is for.
        autoencoder: Name of its autoencoder.
        widths: Channels at latent, half and quarter size.
        scenes: How many scenes are encoded for the training.
        coarse: First part of the training, for what is decided at high noise.
        fine: Second part, for all noise alike.
        start: The checkpoint whose UNet and text encoder it starts from; None for one made from nothing.
    """

    kind: DenoiserKind
    autoencoder: str
    widths: Widths
    scenes: int
    coarse: Settings
    fine: Settings
    start: str | None = None


def _coarse(seed: int, steps: int = 3600) -> Settings:
    decay = steps * 11 // 36
    return Settings(steps=steps, batch_size=48, learning_rate=8e-4, warmup=200, decay=decay, seed=seed, average=0.999)


def _fine(seed: int, steps: int = 3600) -> Settings:
    decay = steps * 5 // 12
    return Settings(steps=steps, batch_size=48, learning_rate=6e-4, warmup=200, decay=decay, seed=seed, average=0.999)


AUTOENCODERS = {
    "vae-a": AutoencoderRecipe(
        widths=(32, 96, 160),
        joint=Settings(steps=3900, batch_size=16, learning_rate=8e-4, warmup=100, decay=900, seed=11),
        decoder=Settings(steps=1400, batch_size=16, learning_rate=5e-4, warmup=100, decay=750, seed=12),
        polish=Settings(steps=2400, batch_size=16, learning_rate=5e-4, warmup=100, decay=900, seed=15),
    ),
    "vae-b": AutoencoderRecipe(
        widths=(32, 64, 96),
        joint=Settings(steps=3900, batch_size=16, learning_rate=8e-4, warmup=100, decay=900, seed=13),
        decoder=Settings(steps=1400, batch_size=16, learning_rate=5e-4, warmup=100, decay=750, seed=14),
        polish=Settings(steps=3000, batch_size=16, learning_rate=5e-4, warmup=100, decay=1200, seed=17),
    ),
}

DENOISERS = {
    "inpaint-a": DenoiserRecipe(
        "inpainting",
        "vae-a",
        widths=(64, 128, 192),
        scenes=40_960,
        coarse=_coarse(21),
        fine=_fine(24, steps=6000),
    ),
    "text-to-image-a": DenoiserRecipe(
        "text-to-image",
        "vae-a",
        widths=(64, 128, 192),
        scenes=40_960,
        coarse=_coarse(22, steps=1800),
        fine=_fine(25),
        start="inpaint-a",
    ),
    "inpaint-b": DenoiserRecipe(
        "inpainting",
        "vae-b",
        widths=(64, 96, 96),
        scenes=40_960,
        coarse=_coarse(23, steps=3000),
        fine=_fine(26, steps=3000),
    ),
}

CLIP_SETTINGS = Settings(
    steps=4600, batch_size=128, learning_rate=1e-3, warmup=200, decay=1400, seed=31, weight_decay=0.02
)

CLIP = "clip"

AMORTISED_COARSE = Settings(steps=3000, batch_size=16, learning_rate=1e-3, warmup=50, decay=600, seed=51, average=0.99)
AMORTISED_FINE = Settings(steps=600, batch_size=8, learning_rate=4e-4, warmup=30, decay=300, seed=52, average=0.99)
"""By the encoder attack's loss, then by the diffusion attack's."""

AMORTISED, ATTACKED = "amortised-a", "inpaint-a"
"""The network of the amortised attack, and the model that it was trained against."""

SCENES_SEED = 41
"""Of the scenes that are encoded for the denoisers; those of an autoencoder share them."""

NAMES = (*AUTOENCODERS, *DENOISERS, CLIP, AMORTISED)
"""Every checkpoint, after those that it is made of."""


@dataclass(frozen=True)
class Workshop:
    """Where checkpoints are made.

    Attributes:
        training: Folder of the trainings' checkpoints, logs and sample grids.
        output: Folder that the finished checkpoints are exported to.
        glyphs: What draws the objects.
        precision: See `training.Settings`.
        compiled: Likewise.
        shorten: Divides the steps and scenes of every training, for a trial.
    """

    training: Path
    output: Path
    glyphs: Glyphs
    precision: str = "no"
    compiled: bool = False
    shorten: int = 1

    def make(self, name: str) -> None:
        """Make a checkpoint; go on where an earlier run stopped.

        An autoencoder that is not there yet is made first. One that a finished checkpoint carries is taken from there,
        so that checkpoints can be added later.

        Args:
            name: One of `NAMES`.
        """
        if name in AUTOENCODERS:
            self.autoencoder(name)
            return
        self._task(name).export(self.output / name)
        self._carry_record(name)

    def _task(self, name: str) -> DenoiserTask | ContrastiveTask | AmortisedTask:
        if name in DENOISERS:
            return self._denoiser(name)
        return self._contrastive() if name == CLIP else self._amortised()

    def autoencoder(self, name: str) -> AutoencoderKL:
        """Train an autoencoder; it is exported inside of the checkpoints that use it."""
        recipe = AUTOENCODERS[name]
        joint = self._adapted(recipe.joint)
        task = AutoencoderTask(recipe.widths, joint, self.glyphs)
        train(task, joint, self.training / name)
        task.autoencoder.encoder.requires_grad_(False)
        for stage, settings in (("decoder", recipe.decoder), ("polish", recipe.polish)):
            adapted = self._adapted(settings)
            decoding = DecoderTask(task.autoencoder, adapted, self.glyphs, polish=stage == "polish")
            train(decoding, adapted, self.training / f"{name}-{stage}")
        return task.autoencoder.eval().requires_grad_(False)

    def _finished(self, name: str) -> Path:
        """Return the folder of a finished checkpoint, which is made first where it is not there yet."""
        if not (self.output / name).is_dir():
            self.make(name)
        return self.output / name

    def _finished_autoencoder(self, name: str) -> AutoencoderKL | None:
        """Load an autoencoder from a checkpoint that carries it, where it was not trained here."""
        from diffusers import AutoencoderKL

        users = [other for other, denoiser in DENOISERS.items() if denoiser.autoencoder == name]
        finished = [self.output / user / "vae" for user in users if (self.output / user / "vae").is_dir()]
        if not finished or (self.training / name).is_dir():
            return None
        loaded = AutoencoderKL.from_pretrained(finished[0], torch_dtype=torch.float32)
        return loaded.eval().requires_grad_(False)

    def _denoiser(self, name: str) -> DenoiserTask:
        recipe = DENOISERS[name]
        coarse, fine = self._adapted(recipe.coarse), self._adapted(recipe.fine)
        autoencoder = self._finished_autoencoder(recipe.autoencoder) or self.autoencoder(recipe.autoencoder)
        folder = self.training / f"latents-of-{recipe.autoencoder}"
        count = recipe.scenes // self.shorten
        latents = encode_scenes(autoencoder, SCENES_SEED, count, self.glyphs, folder, self.precision)
        task = DenoiserTask(recipe.kind, recipe.widths, coarse, latents, autoencoder, self.glyphs)
        if recipe.start:
            task.start_from(self._finished(recipe.start))
        train(task, coarse, self.training / name)
        task.refine(fine)
        train(task, fine, self.training / f"{name}-fine")
        return task

    def _contrastive(self) -> ContrastiveTask:
        settings = self._adapted(CLIP_SETTINGS)
        task = ContrastiveTask(settings, self.glyphs)
        train(task, settings, self.training / CLIP)
        return task

    def _amortised(self) -> AmortisedTask:
        coarse, fine = self._adapted(AMORTISED_COARSE), self._adapted(AMORTISED_FINE)
        task = AmortisedTask(coarse, self.glyphs, load_model(str(self._finished(ATTACKED))))
        train(task, coarse, self.training / AMORTISED)
        task.refine(fine)
        train(task, fine, self.training / f"{AMORTISED}-fine")
        return task

    def _adapted(self, settings: Settings) -> Settings:
        shorter = {name: -(-getattr(settings, name) // self.shorten) for name in ("steps", "warmup", "decay")}
        return replace(settings, precision=self.precision, compiled=self.compiled, **shorter)

    def _carry_record(self, name: str) -> None:
        """Put beside a finished checkpoint how each of its parts was trained, those taken from others included."""
        stages = [name, f"{name}-fine"] if name == AMORTISED else [name]
        if name in DENOISERS:
            recipe = DENOISERS[name]
            autoencoder = recipe.autoencoder
            stages = [autoencoder, f"{autoencoder}-decoder", f"{autoencoder}-polish"]
            for denoiser in filter(None, (recipe.start, name)):
                stages += [denoiser, f"{denoiser}-fine"]
        known: dict[str, object] = {}
        for carried in sorted(self.output.glob(f"*/{RECORD}")):
            known |= json.loads(carried.read_text(encoding="utf-8"))
        for stage in stages:
            if (self.training / stage / RECORD).exists():
                known[stage] = json.loads((self.training / stage / RECORD).read_text(encoding="utf-8"))
        record = {stage: known[stage] for stage in stages if stage in known}
        write_atomically(self.output / name / RECORD, json.dumps(record, indent=1).encode())
