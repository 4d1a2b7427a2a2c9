"""Pictures: every image with its edits in a gallery, or some of them on a sheet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from photoguard_eval.reports.contact_sheet import contact_sheet, sheet_rows
from photoguard_eval.reports.document import Figure, Section, Text
from photoguard_eval.reports.gallery import make_gallery
from photoguard_eval.reports.naming import editor_text
from photoguard_eval.reports.pictures import LARGEST_SIDE, PERTURBATION_FACTOR
from photoguard_eval.reports.views.subject import Subject

SCALED = (
    f"Pictures of more than {LARGEST_SIDE} pixels are scaled down to that, with lossy compression, to keep this page "
    "small; perturbations are computed before. All figures were measured on the full images."
)


def galleries(subject: Subject) -> Iterator[Section]:
    """Show under each editor all images and edits.

    Raises:
        StoreError: If a picture is missing.
    """
    if subject.images is None:
        return
    for editor in subject.result.editors:
        title = f"Pictures: {editor_text(editor).title.lower()}"
        gallery = make_gallery(subject.result, editor, subject.images)
        notes = (*gallery.left_out, *([SCALED] if gallery.scaled else []))
        text = Text(
            (
                "One block per image: first the image and what was added to it, shown "
                f"×{PERTURBATION_FACTOR} around middle gray; then a row per prompt. An edit that looks like the one "
                "under “No immunization” means that the protection failed. SSIM and PSNR compare the two edits, CLIP "
                "similarity compares the edit with its prompt.",
            )
        )
        explained = (text, *(Text((note,), note=True) for note in notes))
        yield Section(title, f"{editor}-cases", (*explained, gallery), entry=title)


def sheet_figure(subject: Subject, editor: str) -> Figure | None:
    """Return a contact sheet of an editor; None without rows or pictures."""
    if subject.images is None or not sheet_rows(subject.result, editor):
        return None
    return Figure(
        f"edits-{editor}",
        f"Images and their edits, without and with immunization, {editor_text(editor).title}",
        partial(contact_sheet, subject.result, editor, subject.images),
    )
