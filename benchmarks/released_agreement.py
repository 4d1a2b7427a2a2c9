"""python benchmarks/released_agreement.py --state DIR: the diffusion attack beside its released algorithm, by edits.

Both immunize the same images with as many gradients and repetitions, each from several seeds of its noise, and the same
edits of what they made are compared with those of the originals. A second run goes on where an earlier one stopped.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from photoguard_eval import load_model
from photoguard_eval.attacks import AttackBatch, DiffusionAttack
from photoguard_eval.attacks.budget import round_within_budget
from photoguard_eval.data.cases import EditCase, load_dataset
from photoguard_eval.diffusion import EditSettings, InpaintEditor, LatentDiffusion
from photoguard_eval.files import sha256_of_json, write_atomically
from photoguard_eval.images.arrays import LEVELS, decode_png, encode_png
from photoguard_eval.metrics import StructuralSimilarity
from photoguard_eval.randomness import CaseGenerators, derive_seed

AT_ONCE = 5
GUIDANCE = 7.5
DENOISING_STEPS = 4

Method = Callable[[LatentDiffusion, AttackBatch, CaseGenerators, DiffusionAttack], torch.Tensor]


def package(model: LatentDiffusion, batch: AttackBatch, noise: CaseGenerators, attack: DiffusionAttack) -> torch.Tensor:
    """Immunize by the package's attack."""
    return attack.perturb(model, batch, noise)


def released(
    model: LatentDiffusion, batch: AttackBatch, noise: CaseGenerators, attack: DiffusionAttack
) -> torch.Tensor:
    """Immunize by the released algorithm (Salman et al. 2023), in [−1, 1], where gray is zero.

    What descends is the masked image, from itself, by the sign of the gradient outside of the mask, averaged over
    repetitions; the loss is the norm of a short edit, neither clipped nor put together with the image.
    """
    mask, epsilon, step = batch.masks, 2 * batch.budget.radius, 2 * attack.step_size
    original = (batch.images * 2 - 1) * (1 - mask)
    masked = original
    for _ in range(attack.steps):
        gradients = []
        for _ in range(attack.repetitions):
            point = masked.clone().requires_grad_()
            loss = released_edit(model, point, mask, noise).flatten(1).norm(dim=1)
            gradients.append(torch.autograd.grad(loss.sum(), point)[0] * (1 - mask))
        masked = masked - step * torch.stack(gradients).mean(dim=0).sign()
        masked = original + (masked - original).clamp(-epsilon, epsilon)
        masked = masked.clamp(-1, 1)
    return (masked / 2 + 0.5) * (1 - mask) + batch.images * mask


def released_edit(
    model: LatentDiffusion, masked: torch.Tensor, mask: torch.Tensor, noise: CaseGenerators
) -> torch.Tensor:
    """Edit masked images for the empty prompt in four steps of DDIM with eta 1, and decode."""
    scale, scheduler = model.vae.config.scaling_factor, model.scheduler(DENOISING_STEPS)
    small = torch.nn.functional.interpolate(mask, size=[side // model.downscale_factor for side in mask.shape[-2:]])
    shape = (model.latent_channels, *small.shape[-2:])
    latents = noise.normal(shape, masked)
    posterior = model.vae.encode(masked).latent_dist
    seen = scale * (posterior.mean + posterior.std * noise.normal(shape, masked))
    text = model.embed_prompts([""] * (2 * len(masked))).tokens
    for timestep in scheduler.timesteps:
        inputs = torch.cat([latents, small, seen], dim=1).repeat(2, 1, 1, 1)
        unconditional, conditional = model.unet(inputs, timestep, encoder_hidden_states=text).sample.chunk(2)
        predicted = unconditional + GUIDANCE * (conditional - unconditional)
        options = {"eta": 1.0, "variance_noise": noise.normal(shape, masked)}
        latents = scheduler.step(predicted, timestep, latents, **options).prev_sample
    edit: torch.Tensor = model.vae.decode(latents / scale).sample
    return edit


METHODS: dict[str, Method] = {"package": package, "released": released}


@dataclass(frozen=True)
class Study:
    """What is compared, and where finished parts are kept."""

    model: LatentDiffusion
    cases: Sequence[EditCase]
    attack: DiffusionAttack
    settings: EditSettings
    state: Path

    def scores(self, method: str, seed: int) -> list[float]:
        """Return SSIM between each case's edits of the immunized image and of the original."""
        return [
            score
            for first in range(0, len(self.cases), AT_ONCE)
            for score in self._scores(self.cases[first : first + AT_ONCE], method, seed)
        ]

    def difference_from_the_same_noise(self) -> float:
        """Return the largest difference between what both make of the first images in three steps, in levels."""
        cases = self.cases[:AT_ONCE]
        images, masks = (torch.cat([read(case) for case in cases]) for read in (EditCase.image, EditCase.mask))
        ids = tuple(case.id for case in cases)
        batch = AttackBatch(images, masks, None, ids, InpaintEditor(), self.settings)
        attack = DiffusionAttack(steps=3, denoising_steps=DENOISING_STEPS)
        noise = CaseGenerators.from_seeds(range(len(cases)))
        # The package draws from further generators, one for each repetition.
        theirs = released(self.model, batch, CaseGenerators.from_seeds(range(len(cases))).spawn(1), attack)
        return float((package(self.model, batch, noise, attack) - theirs).abs().max()) * LEVELS

    def _scores(self, cases: Sequence[EditCase], method: str, seed: int) -> list[float]:
        images = torch.cat([case.image() for case in cases])
        masks, ids = torch.cat([case.mask() for case in cases]), tuple(case.id for case in cases)
        editor = InpaintEditor()
        batch = AttackBatch(images, masks, None, ids, editor, self.settings, AT_ONCE)
        # Each method draws noise of its own, as two authors would.
        seeds = [derive_seed(seed, method, case.image_sha256, "attack") for case in cases]
        descent = [self.attack.steps, self.attack.repetitions]
        files = [self.state / f"{sha256_of_json([method, one, descent])}.png" for one in seeds]
        if not all(file.is_file() for file in files):
            found = METHODS[method](self.model, batch, CaseGenerators.from_seeds(seeds), self.attack)
            for file, original, image in zip(files, images, found, strict=True):
                write_atomically(file, encode_png(round_within_budget(original, image, batch.budget)))
        immunized = torch.cat([decode_png(file.read_bytes()) for file in files])
        asked = (masks, [case.prompt for case in cases], [case.seed for case in cases], self.settings)
        edits = [editor.edit(self.model, shown, *asked, originals=images) for shown in (immunized, images)]
        return StructuralSimilarity().compute(*edits, masks, ids)


def mean_and_error(values: Sequence[float]) -> str:
    """Return mean ± standard error over images."""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"


def summary(scores: dict[str, list[list[float]]]) -> dict[str, Any]:
    """Summarize scores by method and seed: each run, their means, and differences paired by image."""
    means = {method: [statistics.mean(image) for image in zip(*runs, strict=True)] for method, runs in scores.items()}
    differences = [ours - theirs for ours, theirs in zip(means["package"], means["released"], strict=True)]
    found: dict[str, Any] = {
        f"{method}, seed {seed}": mean_and_error(run)
        for method, runs in scores.items()
        for seed, run in enumerate(runs)
    }
    found |= {f"{method}, all seeds": mean_and_error(values) for method, values in means.items()}
    found["package − released, paired"] = mean_and_error(differences)
    for method, runs in scores.items():
        if len(runs) > 1:
            by_seed = [one - other for one, other in zip(runs[0], runs[1], strict=True)]
            found[f"{method}, seed 0 − seed 1, paired"] = mean_and_error(by_seed)
    return found


def main() -> None:
    """Run what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", nargs="+", default=["emoji-scenes"], help="names or folders")
    parser.add_argument("--images", type=int, help="of each dataset, with their first prompts (default: all)")
    parser.add_argument("--seeds", type=int, default=2, help="of the attacks' noise (default: 2)")
    parser.add_argument("--steps", type=int, default=200, help="gradients (default: 200)")
    parser.add_argument("--repetitions", type=int, default=1, help="that a gradient is averaged over (default: 1)")
    parser.add_argument("--edit-steps", type=int, default=20, help="of the edits that are scored (default: 20)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (default: its own)")
    parser.add_argument("--state", type=Path, required=True, help="folder of what is finished")
    parser.add_argument("--json", action="store_true", help="print all scores as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cases = []
    for name in options.dataset:
        first = {case.image_id: case for case in reversed(load_dataset(name).cases)}
        cases += list(reversed(first.values()))[: options.images]
    attack = DiffusionAttack(steps=options.steps, repetitions=options.repetitions, denoising_steps=DENOISING_STEPS)
    settings = EditSettings(num_inference_steps=options.edit_steps)
    study = Study(load_model("inpaint-a"), cases, attack, settings, options.state)
    scores: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    for seed in range(options.seeds):
        for method in METHODS:
            scores[method].append(study.scores(method, seed))
    found = summary(scores)
    difference = study.difference_from_the_same_noise()
    if options.json:
        ids = [case.id for case in cases]
        levels = {"difference_from_the_same_noise": difference}
        print(json.dumps({**levels, "summary": found, "cases": ids, "scores": scores}, indent=1, ensure_ascii=False))
        return
    print(f"Largest difference after three steps from the same noise: {difference:.1e} levels of 1/255")
    print(f"SSIM of the edits of {len(cases)} images, mean ± standard error over images")
    print(tabulate(found.items(), headers=["", "SSIM"]))


if __name__ == "__main__":
    main()
