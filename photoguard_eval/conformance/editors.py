"""Whether an editor keeps its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from photoguard_eval import resources
from photoguard_eval.conformance.subjects import (
    PROMPTS,
    SEEDS,
    Subject,
    other_global_randomness,
    pictures,
    right_half,
    subject_of,
    with_another_first,
)
from photoguard_eval.diffusion import EDITORS, Editor, EditSettings, LatentDiffusion, identify_model, load_model
from photoguard_eval.diffusion.integrity import ModelState
from photoguard_eval.errors import ConfigurationError
from photoguard_eval.randomness import CaseGenerators

if TYPE_CHECKING:
    import torch

SIZE = (64, 64)

SETTINGS = EditSettings(num_inference_steps=4)

OTHERS: dict[str, Any] = {
    "guidance_scale": 3.0,
    "image_guidance_scale": 3.0,
    "num_inference_steps": 6,
    "eta": 0.5,
    "strength": 0.9,
    "composite": "immunized",
    "sample_latents": False,
}
"""Another value of each setting."""


def check_editor(
    editor: str | type[Editor] | Editor, /, *, model: LatentDiffusion | None = None, **arguments: Any
) -> None:
    """Check that an editor keeps its contract.

    Its edits must be images in [0, 1] that depend on the prompt, the seed and the settings that it says it reads, and
    on no other setting, on no neighbour in the batch and on no global state. One that reads a mask must keep what the
    mask does not mark. It must leave the model as it was, let a gradient reach the images, and keep its arguments under
    their names.

    Args:
        editor: A class, an instance or a spec.
        model: The model that it edits with; by default an embedded one of a kind that it runs on.
        arguments: For the constructor of a class.

    Raises:
        PluginError: If it does not keep its contract; the message says in what.
        ConfigurationError: If its constructor refuses an argument, or no embedded checkpoint is of its kind.
    """
    subject: Subject[Editor] = subject_of(EDITORS, editor, arguments)
    own = subject.instance
    if not isinstance(getattr(own, "reads_mask", None), bool):
        subject.refuse("does not say whether it reads a mask. Set reads_mask = True or False in the class.")
    unknown = sorted(own.reads_settings - EditSettings.model_fields.keys())
    if unknown:
        subject.refuse(f"says that it reads {', '.join(unknown)}, which is no setting. Correct reads_settings.")
    model = model or _embedded_model(own)
    model.forget()
    before = ModelState.of(model)
    _check_edits(subject, model)
    _require_gradient(subject, model)
    model.forget()
    changes = before.changes(ModelState.of(model))
    if changes:
        subject.refuse(f"changes the model: {', '.join(changes[:3])}. Leave it as it was; remove hooks.")


def _embedded_model(editor: Editor) -> LatentDiffusion:
    for name in resources.embedded_checkpoints():
        if identify_model(name).kind in editor.kinds:
            return load_model(name)
    raise ConfigurationError(
        f"The editor {editor.name!r} runs on checkpoints for {' and '.join(editor.kinds)}, of which none is embedded. "
        "Give a model: check_editor(…, model=load_model(…))."
    )


def _check_edits(subject: Subject[Editor], model: LatentDiffusion) -> None:
    images, own = pictures(*SIZE), subject.instance
    edits = _edited(subject, model, images)
    with other_global_randomness():
        again = _edited(subject, model, images)
    if not again.equal(edits):
        subject.refuse("gives other edits for the same seeds. Draw random numbers from `generators` alone.")
    if _edited(subject, model, images, seeds=(3, 4)).equal(edits):
        subject.refuse("gives the same edits for other seeds. Start from noise that `generators` draws.")
    if not _edited(subject, model, with_another_first(images))[1].equal(edits[1]):
        subject.refuse("lets an edit depend on its neighbours in the batch. Treat each image by itself.")
    kept = 1 - right_half(images)
    if own.reads_mask and not (edits * kept).equal(images * kept):
        subject.refuse("changes what the mask does not mark. Paste the kept pixels, as `Editor.edit` does.")
    for name in sorted(EditSettings.model_fields.keys() - own.reads_settings):
        other = _edited(subject, model, images, settings=SETTINGS.changed(**{name: OTHERS[name]}))
        if not other.equal(edits):
            subject.refuse(f"reads the setting {name}, which reads_settings lacks. Add it.")


def _edited(
    subject: Subject[Editor],
    model: LatentDiffusion,
    images: torch.Tensor,
    seeds: tuple[int, int] = SEEDS,
    settings: EditSettings = SETTINGS,
) -> torch.Tensor:
    given = images.clone()
    edits = subject.calls(
        lambda: subject.instance.edit(model, given, right_half(images), PROMPTS, seeds, settings, originals=images)
    )
    subject.require_picture(edits, images)
    if not given.equal(images):
        subject.refuse("changes the images that it is given. Work on a copy.")
    result: torch.Tensor = edits
    return result


def _require_gradient(subject: Subject[Editor], model: LatentDiffusion) -> None:
    import torch

    images, own = pictures(*SIZE).requires_grad_(), subject.instance
    settings = SETTINGS.changed(num_inference_steps=own.schedule_length(1, SETTINGS))
    with torch.enable_grad():
        inputs = own.prepare(model, images, right_half(images.detach()), settings)
        edits = own.denoise(
            model, inputs, model.embed_prompts(PROMPTS), None, CaseGenerators.from_seeds(SEEDS), settings
        )
        gradient = (
            torch.autograd.grad(edits.square().sum(), images, allow_unused=True)[0] if edits.requires_grad else None
        )
    if gradient is None or not bool(gradient.any()):
        subject.refuse("lets no gradient reach the images, which attacks need. Keep its steps on the graph.")
