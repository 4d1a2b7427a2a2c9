"""The step that edits: what an edit depends on, and how it is made of that alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from photoguard_eval.diffusion import Editor, EditSettings
from photoguard_eval.files import sha256_of_json
from photoguard_eval.images.arrays import decode_png, encode_png, from_8bit, to_8bit
from photoguard_eval.pipeline.steps.keys import EDIT_CODE, Editing, PictureFile, code_fingerprint
from photoguard_eval.pipeline.work import Artifact, EditWork, Finished

if TYPE_CHECKING:
    from photoguard_eval.diffusion import LatentDiffusion


@dataclass(frozen=True)
class EditInputs:
    """What an edit depends on.

    Attributes:
        editing: How the image is edited.
        name: The case, for messages; the edit does not depend on it.
        original: The original image.
        mask: What is edited; None without a mask.
        prompt: What is asked for.
        seed: Of the edit.
        immunized: Key of the immunized image; "" for an edit of the original.
        purified: Key of the purified image that is edited in its place; "" for none.
    """

    editing: Editing
    name: str
    original: PictureFile
    mask: PictureFile | None
    prompt: str
    seed: int
    immunized: str = ""
    purified: str = ""

    @property
    def edited(self) -> str:
        """Key of the image that is edited; "" for the original as it is."""
        return self.purified or self.immunized

    @property
    def settings(self) -> EditSettings:
        """Those of the editor's settings that the edit depends on; the others at their defaults.

        The original keeps its own pixels, whichever the kept region shows.
        """
        settings = self.editing.settings
        return settings if self.edited else settings.before_compositing()

    @cached_property
    def key(self) -> str:
        """The hash of everything that the edit depends on."""
        reads_mask = self.editing.editor.instance.reads_mask
        return sha256_of_json(
            {
                "step": "edit",
                "code": code_fingerprint(EDIT_CODE),
                **self.editing.facts(self.settings),
                "original": self.original.sha256,
                "edited": self.edited,
                "mask": self.mask.identity if self.mask and reads_mask else "",
                "prompt": self.prompt,
                "seed": self.seed,
            }
        )


def gather(inputs: Sequence[EditInputs], edited: Sequence[bytes] = ()) -> EditWork:
    """Read what images of one row and one size are edited from.

    Args:
        inputs: Of the edits.
        edited: The files of the images that are edited; empty for edits of the originals.
    """
    import torch

    first = inputs[0]
    originals = torch.cat([each.original.image() for each in inputs])
    whole = torch.ones_like(originals[:1, :1])
    masks = torch.cat([each.mask.mask() if each.mask else whole for each in inputs])
    images = torch.cat([decode_png(png) for png in edited]) if edited else originals
    return EditWork(
        editor=first.editing.editor.name,
        settings=first.settings,
        names=tuple(each.name for each in inputs),
        prompts=tuple(each.prompt for each in inputs),
        seeds=tuple(each.seed for each in inputs),
        images=to_8bit(images).numpy(),
        originals=to_8bit(originals).numpy(),
        masks=masks.to(torch.uint8).numpy(),
    )


def run(work: EditWork, editor: Editor, model: LatentDiffusion, dtype: str) -> Finished:
    """Edit images.

    Args:
        work: The images.
        editor: The editor that the work names.
        model: The model that edits.
        dtype: In which it computes, for the message of an edit that is not finite.

    Raises:
        ModelError: If an edit is not finite.
    """
    import torch

    images, originals = (from_8bit(torch.tensor(levels)).to(model.device) for levels in (work.images, work.originals))
    masks = torch.tensor(work.masks).float().to(model.device)
    edits = editor.edit(model, images, masks, work.prompts, work.seeds, work.settings, originals=originals)
    editor.require_finite(edits, list(work.names), dtype)
    return Finished(tuple(Artifact(encode_png(edit)) for edit in to_8bit(edits).cpu()))
