"""How good the checkpoints are, on held-out scenes: what the model cards say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from photoguard_eval.attacks import AmortisedAttack, DiffusionAttack, NoiseAttack
from photoguard_eval.diffusion import EDITORS, EditSettings
from photoguard_eval.metrics.clip import TextImageModel
from photoguard_eval.metrics.pairwise import StructuralSimilarity
from photoguard_eval.randomness import CaseGenerators
from recipes.emoji_scenes.amortised import draw_attacked
from recipes.emoji_scenes.batches import Batch, draw_batch
from recipes.emoji_scenes.glyphs import Glyphs
from recipes.emoji_scenes.grids import save_grid
from recipes.emoji_scenes.immunizability import encoder_gain, look_from_kept_latents, round_trip_psnr, whole_subject
from recipes.emoji_scenes.looks import texture
from recipes.emoji_scenes.scenes import SIDE
from recipes.emoji_scenes.vocabulary import COLOURS, LOOKS, OBJECTS, PLACES, caption, is_held_out

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion

SEED = 99

EDIT = EditSettings(guidance_scale=5.0, num_inference_steps=50)
"""How edits are drawn to be measured."""

CLIP_BATCHES = 8
"""Batches of 64 scenes that a CLIP is measured on."""

FLIPPED_LEVELS = 8 / 255
"""Amplitude of the texture that the flip test takes away from the kept part and lays over it."""


@dataclass(frozen=True)
class Edits:
    """Edits of held-out scenes into places that are held out for their subjects too.

    Attributes:
        batch: The scenes.
        places: Where each is edited to.
        prompts: In words.
    """

    batch: Batch
    places: list[str]
    prompts: list[str]

    @property
    def images(self) -> torch.Tensor:
        """The scenes in [0, 1]."""
        return (self.batch.images + 1) / 2

    def drawn_by(self, model: LatentDiffusion, seed: int = 0, images: torch.Tensor | None = None) -> torch.Tensor:
        """Edit the scenes, or other images in their stead whose kept pixels are then pasted from the scenes."""
        count = len(self.prompts)
        edits = [
            EDITORS.create("inpaint").instance.edit(
                model,
                (self.images if images is None else images)[part],
                self.batch.masks[part],
                self.prompts[part],
                [1000 * seed + index for index in range(count)][part],
                EDIT,
                originals=self.images[part],
            )
            for part in (slice(start, start + 8) for start in range(0, count, 8))
        ]
        return torch.cat(edits)


def held_out_edits(count: int, glyphs: Glyphs) -> Edits:
    """Draw scenes to edit."""
    batch = draw_batch([SEED, 0], count, glyphs, held_out=True, mask_rule=whole_subject)
    places = []
    for index, content in enumerate(batch.contents):
        others = [place for place in PLACES if is_held_out(content.name, place) and place != content.place]
        places.append(others[index % len(others)])
    contents = zip(batch.contents, places, strict=True)
    prompts = [caption(what.name, what.colour, place, what.size, what.position) for what, place in contents]
    return Edits(batch, places, prompts)


def measure_autoencoder(model: LatentDiffusion, glyphs: Glyphs) -> dict[str, float]:
    """Measure an autoencoder: its round trip, and whether what it keeps makes a model immunizable."""
    gain = encoder_gain(model.vae, glyphs)
    return {
        "round_trip_psnr": round_trip_psnr(model.vae, glyphs),
        "look_from_kept_latents": look_from_kept_latents(model.vae, glyphs),
        **{f"gain_{name}": value for name, value in gain.items()},
    }


def measure_inpainting(model: LatentDiffusion, clip: TextImageModel, glyphs: Glyphs, grid: Path) -> dict[str, float]:
    """Measure edits: whether they show the place, depend on the look of what is kept, and differ between seeds.

    Args:
        model: An inpainting checkpoint.
        clip: What recognises places.
        glyphs: What draws the objects.
        grid: Takes a picture: scenes, two edits of each, edits after the kept texture was changed.
    """
    edits = held_out_edits(64, glyphs)
    first, second = edits.drawn_by(model, 0), edits.drawn_by(model, 1)
    flipped = edits.drawn_by(model, 0, flip_looks(edits))
    save_grid(grid, [rows[:12] for rows in (edits.images, first, second, flipped)])
    kept = edits.batch.masks < 0.5
    return {
        "place_found": places_found(clip, first, edits),
        "flip_ssim": similarity_of_edits(flipped, first, edits),
        "two_seeds_ssim": similarity_of_edits(second, first, edits),
        "kept_pixels_changed": float(((first - edits.images).abs() * kept).max()),
    }


def similarity_of_edits(edited: torch.Tensor, reference: torch.Tensor, edits: Edits) -> float:
    """Return the mean SSIM of two sets of edits of the same scenes, each (N, 3, S, S) in [0, 1]."""
    scores = StructuralSimilarity().compute(edited, reference, edits.batch.masks, edits.prompts)
    return sum(scores) / len(scores)


def flip_looks(edits: Edits) -> torch.Tensor:
    """Lay another look's texture over the kept part of each scene, in place of its own; within the paper's budget."""
    looks = list(LOOKS.values())
    textures = torch.stack([torch.from_numpy(texture(look, SIDE)) for look in looks])[:, None]
    own = edits.batch.looks
    change = (textures[(own + 1) % len(looks)] - textures[own]) * FLIPPED_LEVELS
    return (edits.images + change * (edits.batch.masks < 0.5)).clamp(0, 1)


def places_found(clip: TextImageModel, images: torch.Tensor, edits: Edits) -> float:
    """Return how often the prompt's place is the likeliest of all places, the other words being the prompt's."""
    found = [
        _likeliest(clip, image, [caption(what.name, what.colour, other, what.size, what.position) for other in PLACES])
        == PLACES.index(place)
        for image, what, place in zip(images, edits.batch.contents, edits.places, strict=True)
    ]
    return sum(found) / len(found)


def measure_text_to_image(model: LatentDiffusion, clip: TextImageModel, glyphs: Glyphs, grid: Path) -> dict[str, float]:
    """Measure samples for held-out captions: whether object and colour are recognised.

    Args:
        model: A text-to-image checkpoint.
        clip: What recognises them.
        glyphs: What draws the scenes whose captions are taken.
        grid: Takes a picture of samples.
    """
    batch = draw_batch([SEED, 1], 64, glyphs, held_out=True)
    images = torch.cat([_sample(model, batch.captions[start : start + 8], start) for start in range(0, 64, 8)])
    save_grid(grid, [images[:12], images[12:24]])
    objects, colours = _objects_and_colours_found(clip, images, batch)
    return {"object_found": objects, "colour_found": colours}


def _sample(model: LatentDiffusion, prompts: list[str], seed: int) -> torch.Tensor:
    """Draw from text alone: a variation at full strength of an image that is all gray."""
    gray = torch.full((len(prompts), 3, SIDE, SIDE), 0.5)
    seeds = [seed + index for index in range(len(prompts))]
    editor = EDITORS.create("img2img").instance
    return editor.edit(model, gray, torch.ones_like(gray[:, :1]), prompts, seeds, EDIT.changed(strength=1.0))


def _objects_and_colours_found(clip: TextImageModel, images: torch.Tensor, batch: Batch) -> tuple[float, float]:
    objects, colours = [], []
    for image, what in zip(images, batch.contents, strict=True):
        names = [caption(name, what.colour, what.place, what.size, what.position) for name in OBJECTS]
        objects.append(_likeliest(clip, image, names) == list(OBJECTS).index(what.name))
        if what.colour:
            tints = [caption(what.name, colour, what.place, what.size, what.position) for colour in COLOURS]
            colours.append(_likeliest(clip, image, tints) == list(COLOURS).index(what.colour))
    return sum(objects) / len(objects), sum(colours) / len(colours)


def measure_clip(clip: TextImageModel, glyphs: Glyphs) -> dict[str, float]:
    """Measure a CLIP on real held-out scenes: captions found among 64, places, objects and colours recognised."""
    retrieved, places, objects, colours = [], [], [], []
    for index in range(CLIP_BATCHES):
        batch = draw_batch([SEED, 2, index], 64, glyphs, held_out=True)
        images = (batch.images + 1) / 2
        captions = batch.captions
        similarity = _similarity(clip, images, captions)
        # Two scenes may have the same caption; either is right then.
        retrieved += [captions[found] == captions[row] for row, found in enumerate(similarity.argmax(1).tolist())]
        edits = Edits(batch, [content.place for content in batch.contents], captions)
        places.append(places_found(clip, images, edits))
        found = _objects_and_colours_found(clip, images, batch)
        objects.append(found[0])
        colours.append(found[1])
    return {
        "retrieval_of_64": sum(retrieved) / len(retrieved),
        "place_found": sum(places) / len(places),
        "object_found": sum(objects) / len(objects),
        "colour_found": sum(colours) / len(colours),
    }


def measure_amortised(folder: Path, model: LatentDiffusion, glyphs: Glyphs, count: int = 24) -> dict[str, float]:
    """Measure the network of the amortised attack: the diffusion attack's loss on held-out scenes, and that of noise.

    Args:
        folder: The network's.
        model: What it was trained against.
        glyphs: What draws the scenes.
        count: How many.
    """
    measured = {}
    for name in ("inpaint", "img2img"):
        batch = draw_attacked([SEED, 3], count, EDITORS.create(name).instance, glyphs, held_out=True)
        seeds = range(len(batch.ids))
        objective = DiffusionAttack(repetitions=3).objective(model, batch, CaseGenerators.from_seeds(seeds))
        for label, attack in (("noise", NoiseAttack()), ("network", AmortisedAttack(network=str(folder)))):
            immunized = attack.perturb(model, batch, CaseGenerators.from_seeds(seeds))
            with torch.no_grad():
                measured[f"{name}_loss_of_{label}"] = float(objective(immunized).mean())
    return measured


def _likeliest(clip: TextImageModel, image: torch.Tensor, texts: list[str]) -> int:
    return int(_similarity(clip, image[None], texts).argmax())


def _similarity(clip: TextImageModel, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
    embedded = [torch.nn.functional.normalize(rows) for rows in (clip.embed_images(images), clip.embed_texts(texts))]
    return embedded[0] @ embedded[1].T
