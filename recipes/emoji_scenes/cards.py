"""Measures the finished checkpoints and writes their cards."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from photoguard_eval import resources
from photoguard_eval.diffusion import load_model
from photoguard_eval.files import write_atomically
from photoguard_eval.metrics.clip import TextImageModel
from recipes.emoji_scenes.checkpoints import AMORTISED, ATTACKED, CLIP, DENOISERS
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.quality import (
    measure_amortised,
    measure_autoencoder,
    measure_clip,
    measure_inpainting,
    measure_text_to_image,
)
from recipes.emoji_scenes.training import RECORD

QUALITY, CARD = "quality.json", "README.md"

TEMPLATE = Path(__file__).with_name("card.md")


@dataclass(frozen=True)
class Measure:
    """What a measured number means.

    Attributes:
        text: In words.
        target: What it should reach, in words; "" for none.
    """

    text: str
    target: str = ""


MEASURES = {
    "round_trip_psnr": Measure("round trip of the autoencoder, PSNR in dB (128 scenes)", "≥ 30"),
    "look_from_kept_latents": Measure(
        "look told from kept latents of masked images (384 scenes; chance 0.14)", "≥ 0.9"
    ),
    "gain_toward": Measure("latents moved toward gray's by a ball of 16/255, as a share of the distance", "≥ 0.5"),
    "gain_away": Measure("latents moved away, likewise"),
    "gain_noise": Measure("latents moved by uniform noise of 16/255, likewise", "≤ 0.1"),
    "place_found": Measure("place of the prompt recognised by the CLIP among all ten", "≥ 0.95"),
    "flip_ssim": Measure("SSIM of edits after the kept texture was changed to another look's, within 16/255", "≤ 0.8"),
    "two_seeds_ssim": Measure("SSIM of edits by two seeds", "visibly different"),
    "kept_pixels_changed": Measure("largest change of a kept pixel", "0"),
    "object_found": Measure("object recognised by the CLIP among all 32", "≥ 0.9"),
    "colour_found": Measure("colour recognised by the CLIP among all seven", "≥ 0.9"),
    "retrieval_of_64": Measure("caption of a held-out scene found among 64 (512 scenes)", "≥ 0.95"),
    "inpaint_loss_of_noise": Measure("diffusion attack's loss under random noise, inpainting (24 scenes)"),
    "inpaint_loss_of_network": Measure("likewise under the network's perturbation", "≥ 25 % lower"),
    "img2img_loss_of_noise": Measure("diffusion attack's loss under random noise, variations (24 scenes)"),
    "img2img_loss_of_network": Measure("likewise under the network's perturbation", "≥ 25 % lower"),
}

PURPOSE = {
    "inpaint-a": "Inpainting: repaints a region after a prompt. The benchmark's default on machines without a GPU.",
    "text-to-image-a": "Draws from a prompt alone, on the autoencoder of inpaint-a.",
    "inpaint-b": "Inpainting with an autoencoder, text encoder and width of its own, to transfer attacks to.",
    CLIP: "Compares images and captions: prompt similarity, and features for FID, precision, recall and KID.",
    AMORTISED: "Predicts the perturbation of the amortised attack, trained against inpaint-a.",
}

TASK = {CLIP: "zero-shot-image-classification", AMORTISED: "image-to-image"}
"""The hub's name for what a checkpoint does, where it is not to draw."""


def measure_and_describe(folder: Path, glyphs: Glyphs, names: Collection[str]) -> None:
    """Measure checkpoints of a folder; write `quality.json` and the card `README.md` into each.

    Args:
        folder: Holds the checkpoints' folders. The CLIP measures denoisers: without one there, the package's does.
        glyphs: What draws the held-out scenes.
        names: Which, as far as they are there.
    """
    clip = TextImageModel(str(folder / CLIP if (folder / CLIP).is_dir() else resources.CHECKPOINTS / CLIP))
    for name in (*DENOISERS, CLIP, AMORTISED):
        if name not in names or not (folder / name).is_dir():
            continue
        quality = {key: round(value, 4) for key, value in _measure(name, folder / name, clip, glyphs).items()}
        write_atomically(folder / name / QUALITY, json.dumps(quality, indent=1).encode())
        record = json.loads((folder / name / RECORD).read_text(encoding="utf-8"))
        write_atomically(folder / name / CARD, card(name, record, quality).encode())
        for key, value in quality.items():
            print(f"{name}: {MEASURES[key].text}: {value:g} (target: {MEASURES[key].target or 'none'})")


def _measure(name: str, folder: Path, clip: TextImageModel, glyphs: Glyphs) -> dict[str, float]:
    if name == CLIP:
        return measure_clip(clip, glyphs)
    if name == AMORTISED:
        return measure_amortised(folder, load_model(str(folder.parent / ATTACKED)), glyphs)
    model = load_model(str(folder))
    samples = Path(tempfile.gettempdir()) / f"{name}-samples.png"
    of_autoencoder = measure_autoencoder(model, glyphs)
    measure = measure_inpainting if model.is_inpainting else measure_text_to_image
    measured = of_autoencoder | measure(model, clip, glyphs, samples)
    print(f"{name}: samples in {samples}")
    return measured


def card(name: str, record: Mapping[str, Any], quality: Mapping[str, float]) -> str:
    """Write a model card.

    Args:
        name: Of the checkpoint.
        record: How it was trained: `training.json`.
        quality: What was measured.
    """
    rows = [f"| {MEASURES[key].text} | {value:g} | {MEASURES[key].target} |" for key, value in quality.items()]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=name,
        purpose=PURPOSE[name],
        task=TASK.get(name, "text-to-image"),
        command=f"python -m recipes.emoji_scenes {name}",
        stages="\n".join(_describe_stage(stage, run) for stage, run in record.items()),
        rows="\n".join(rows),
    )


def _describe_stage(stage: str, run: Mapping[str, Any]) -> str:
    settings, threads = run["settings"], " and then ".join(map(str, run["threads"]))
    return (
        f"- {stage}: {settings['steps']} steps of {settings['batch_size']} images in {run['hours']} hours, seed "
        f"{settings['seed']}, {threads} thread(s) of torch {run['torch']}, precision `{settings['precision']}`"
        f"{', compiled' if settings.get('compiled') else ''}."
    )
