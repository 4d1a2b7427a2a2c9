"""Prints a document as one self-contained page: no request leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photoguard_eval.reports.document import Code, Document, Figure, Strong, Text
from photoguard_eval.reports.figures import figure_svg

if TYPE_CHECKING:
    from markupsafe import Markup

TAGS: tuple[tuple[type[str], str], ...] = ((Strong, "strong"), (Code, "code"))


def render_document(document: Document) -> str:
    """Print a document.

    Returns:
        HTML without scripts and without any reference to another file; the same for the same input.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("photoguard_eval.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"inline": _inline, "words": _words, "svg": _svg}
    return environment.get_template("leaderboard.html.j2").render(document=document)


def _inline(text: Text) -> Markup:
    """Return the words of a text as HTML."""
    from markupsafe import Markup

    return Markup("").join(map(_words, text.runs))


def _words(words: str) -> Markup:
    """Return words as HTML, with the tag of their kind around them."""
    from markupsafe import Markup, escape

    tag = next((name for kind, name in TAGS if isinstance(words, kind)), None)
    # Made plain, since a subclass of text is not escaped otherwise than text.
    escaped = escape(str(words))
    return Markup(f"<{tag}>{{}}</{tag}>").format(escaped) if tag else escaped


def _svg(figure: Figure) -> Markup:
    from markupsafe import Markup

    return Markup(figure_svg(figure.draw(), figure.name))
