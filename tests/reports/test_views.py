"""A document is made of views, and every renderer prints every kind of block."""

from __future__ import annotations

import typing

import pytest

from photoguard_eval.reports import views
from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.document import (
    Block,
    Code,
    Document,
    Facts,
    Figure,
    Figures,
    Gallery,
    Heading,
    ImageView,
    Lineup,
    Picture,
    Section,
    Strong,
    Text,
    Verdict,
)
from photoguard_eval.reports.pictures import embed
from photoguard_eval.reports.render import markdown, page, terminal
from tests.reports.example import png, subject


def drawing():
    from matplotlib.figure import Figure as Drawing

    return Drawing()


BLOCKS: dict[str, tuple[Block, str]] = {
    "text": (Text(("some ", Strong("<words>"))), "some"),
    "heading": (Heading("a heading"), "a heading"),
    "facts": (Facts((("Command", Code("run & see")),)), "Command"),
    "verdict": (Verdict(True, True, "passes", ("a detail",), ("one stopped",)), "one stopped"),
    "table": (Table("numbers", (Column("Method", False), Column("x")), (Row((Cell("mine"), Cell("1"))),)), "mine"),
    "figures": (Figures((Figure("curve", "a curve", drawing),)), "a curve"),
    "gallery": (
        Gallery("Inpainting", ("A",), (ImageView("cat", (Lineup("Edit", "p", "d", (Picture(embed(png()), "x"),)),)),)),
        "",
    ),
}

RENDERERS = {
    "terminal": terminal.render_document,
    "markdown": lambda document: markdown.render_document(document, lambda figure: f"{figure.name}.png"),
    "page": page.render_document,
}


def printed(renderer, *blocks):
    section = Section("A title", "anchor", blocks, entry="An entry")
    return RENDERERS[renderer](Document("a document", (), (section,)))


def test_there_is_an_example_of_every_kind_of_block():
    assert {type(block) for block, _ in BLOCKS.values()} == set(typing.get_args(Block))
    assert all(block.kind == kind for kind, (block, _) in BLOCKS.items())


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("renderer", RENDERERS)
def test_every_renderer_prints_every_kind_of_block(renderer, kind):
    block, words = BLOCKS[kind]
    text = printed(renderer, block)
    assert words in text
    assert len(text) > len(printed(renderer))


def test_words_that_stand_out_are_marked_and_never_markup_themselves():
    text = printed("page", BLOCKS["text"][0], BLOCKS["facts"][0])
    assert "<p>some <strong>&lt;words&gt;</strong></p>" in text
    assert "<dd><code>run &amp; see</code></dd>" in text


@pytest.mark.parametrize(
    ("place", "make", "renderer"),
    [
        ("TERMINAL", views.terminal_document, "terminal"),
        ("MARKDOWN", views.markdown_document, "markdown"),
        ("PAGE", views.page_document, "page"),
    ],
)
def test_a_new_view_is_a_function_and_a_line(result, monkeypatch, place, make, renderer):
    def robustness(subject):
        (best, *_) = subject.findings.rankings["inpaint"][0].rows
        yield Section("Robustness", "robustness", (Text((f"{best.id.attack} is first.",)),), entry="Robustness")

    monkeypatch.setattr(views, place, (*getattr(views, place), robustness))
    document = make(subject(result))
    assert document.sections[-1].title == "Robustness"
    assert "diffusion is first." in RENDERERS[renderer](document)
