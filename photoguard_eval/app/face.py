"""The benchmark from Python: `evaluate` and `immunize`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from photoguard_eval.app.options import STORE
from photoguard_eval.app.result import Result
from photoguard_eval.attacks import AttackChoice, Ball
from photoguard_eval.pipeline.driver import STOP_ALONE, OnFailure
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.immunization import immunize_photographs, recipe_of
from photoguard_eval.pipeline.photographs import Photograph
from photoguard_eval.pipeline.plan import Plan, build_plan
from photoguard_eval.pipeline.presets import DEFAULT_ATTACKS
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.request import DEFAULT_PRESET, EvaluationRequest
from photoguard_eval.pipeline.session import DEFAULT_ATTACK_TIMEOUT
from photoguard_eval.pipeline.store import Store
from photoguard_eval.pipeline.worker import Worker
from photoguard_eval.purifiers import PurifierChoice
from photoguard_eval.reports.pictures import StoreImages

if TYPE_CHECKING:
    from PIL.Image import Image


def evaluate(
    attacks: Sequence[AttackChoice] = DEFAULT_ATTACKS,
    *,
    model: str = "",
    dataset: str | Path = "",
    preset: str = DEFAULT_PRESET,
    budgets: Sequence[str | Ball] = (),
    purifiers: Sequence[PurifierChoice] = (),
    settings: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
    batch_size: int = 12,
    executor: str = "",
    address: str = "",
    workers: int | None = None,
    threads: int | None = None,
    attack_timeout: float = DEFAULT_ATTACK_TIMEOUT,
    attack_memory: float | None = None,
    trusted: bool = False,
    extractor: str = "auto",
    clip: str = "auto",
    checkpointing: bool | None = None,
    vae_tiling: bool = False,
    cpu_offload: bool = False,
    compiled: bool = False,
    store: str | Path = STORE.default,
    quiet: bool = False,
    fail_fast: bool = False,
) -> Result:
    """Evaluate attacks, as `photoguard-eval run` does; what the store holds already is not computed again.

    Args:
        attacks: Specs such as "encoder,steps=50" or "file.py:MyAttack", classes and instances, mixed at will. An attack
            that is not of this package runs in a process of its own.
        model: An embedded checkpoint, a diffusers folder, a safetensors file or a hub id; by default the one that suits
            the device.
        dataset: A dataset of the package or a folder; by default the one that suits the model.
        preset: "smoke", "ci" or "paper".
        budgets: Of the attacks that have none of their own, such as "16/255"; by default the paper's.
        purifiers: What is done to the images before they are edited, such as "jpeg,quality=50"; each has rows of its
            own, beside those without one.
        settings: Settings of the edits that differ from the preset's, by name.
        seed: Of everything random but the edits.
        device: "cpu" or "cuda".
        dtype: "float32", "float16" or "bfloat16".
        revision: Commit of a hub model.
        batch_size: How many images run at once at most.
        executor: "serial", "processes" or "ray"; by default processes where there are several workers.
        address: Of a Ray cluster.
        workers: Processes that share the work.
        threads: Threads of torch in each process.
        attack_timeout: Seconds that an attack of others may take for an image.
        attack_memory: Mebibytes that its process may take.
        trusted: Whether attacks of others run in this process, for debugging.
        extractor: Feature extractor of the distribution metrics.
        clip: Text-image model of the prompt metric.
        checkpointing: See `load_model`.
        vae_tiling: See `load_model`.
        cpu_offload: See `load_model`.
        compiled: See `load_model`.
        store: Folder of the artifacts.
        quiet: Whether no progress is reported.
        fail_fast: Whether the run ends at the first attack that fails; else such an attack is stopped alone.

    Returns:
        What was found. An attack that was stopped is in `failures` and has no rows.

    Raises:
        PhotoguardError: If the request is refused, or the run cannot go on. What was finished stays in the store.

    Example:
        >>> import tempfile
        >>> from photoguard_eval import evaluate
        >>> with tempfile.TemporaryDirectory() as store:
        ...     result = evaluate(["noise"], preset="smoke", store=store, quiet=True)
        >>> [row.id.label for row in result.ranking("inpaint")[0].rows]
        ['noise']
    """
    request = EvaluationRequest(
        model=model,
        revision=revision,
        dataset=str(dataset),
        preset=preset,
        attacks=tuple(attacks),
        budgets=tuple(map(str, budgets)),
        purifiers=tuple(purifiers),
        seed=seed,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        executor=executor,
        address=address,
        threads=threads,
        attack_timeout=attack_timeout,
        attack_memory=attack_memory,
        trusted=trusted,
        settings={name: str(value) for name, value in (settings or {}).items()},
        extractor=extractor,
        clip=clip,
        checkpointing=checkpointing,
        vae_tiling=vae_tiling,
        cpu_offload=cpu_offload,
        compiled=compiled,
    )
    plan = build_plan(request)
    return run_plan(plan, Store(Path(store)), Progress(quiet=quiet), OnFailure(fail_fast=fail_fast))


def run_plan(plan: Plan, store: Store, progress: Progress, on_failure: OnFailure = STOP_ALONE) -> Result:
    """Run a plan; the command line, the suite and `evaluate` all end here.

    Args:
        plan: What to run.
        store: Where artifacts are and go to.
        progress: Where to report.
        on_failure: What is done about an attack that fails.

    Raises:
        PhotoguardError: See `evaluate`.
    """
    evaluation = Evaluation(plan, store, progress, on_failure)
    values = evaluation.run()
    images = StoreImages(plan.dataset.path, store.image)
    return Result(values, images, evaluation.computed, not plan.embedded_model)


def immunize(
    image: str | Path | Image,
    attack: AttackChoice = "encoder",
    mask: str | Path | Image | None = None,
    *,
    prompt: str | None = None,
    model: str = "",
    preset: str = "paper",
    settings: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    trusted: bool = False,
) -> Image:
    """Immunize an image, as `photoguard-eval immunize` does.

    Args:
        image: Its file, or a picture of Pillow.
        attack: A spec, a class or an instance.
        mask: What will be edited, in white, of the image's size; None for edits of the whole image.
        prompt: The prompt of the edit, for an attack that sees it.
        model: See `evaluate`.
        preset: Whose settings and steps are taken.
        settings: See `evaluate`.
        seed: Of the attack.
        device: See `evaluate`.
        dtype: See `evaluate`.
        trusted: See `evaluate`.

    Returns:
        The immunized image, in sRGB.

    Raises:
        PhotoguardError: If image or mask does not fit, or the attack fails.

    Example:
        >>> from PIL import Image
        >>> from photoguard_eval import immunize
        >>> immunize(Image.new("RGB", (64, 64), "teal"), "noise").size
        (64, 64)
    """
    from PIL import Image

    request = EvaluationRequest(
        model=model,
        preset=preset,
        device=device,
        dtype=dtype,
        trusted=trusted,
        settings={name: str(value) for name, value in (settings or {}).items()},
    )
    with tempfile.TemporaryDirectory(prefix="photoguard-eval-") as name:
        folder = Path(name)
        photograph = Photograph(
            _as_file(image, folder / "image.png"),
            None if mask is None else _as_file(mask, folder / "mask.png"),
            folder / "immunized.png",
        )
        recipe, session = recipe_of(request, attack, prompt, seed, has_mask=mask is not None)
        photograph.read()
        recipe.require_feasible(request, [photograph.image])
        with closing(Worker(session)) as worker:
            immunize_photographs([photograph], recipe, worker, Progress(quiet=True))
        return Image.open(BytesIO(photograph.output.read_bytes())).convert("RGB")


def _as_file(picture: str | Path | Image, path: Path) -> Path:
    if isinstance(picture, str | Path):
        return Path(picture)
    # With its profile, from which it is converted when the file is read.
    picture.save(path, icc_profile=picture.info.get("icc_profile"))
    return path
