from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from photoguard_eval.reports.gallery import make_gallery
from photoguard_eval.reports.naming import NOTE_REROLL
from photoguard_eval.results.facts import FailedAttack
from tests.reports.example import (
    HOSTILE_PROMPT,
    PROMPTS,
    ExampleImages,
    editor_tables,
    make_gate,
    render_page,
    threshold,
    with_rerolls,
)

VOID = {"meta", "img", "br", "hr", "link", "input"}
LOADING = {"src", "href", "srcset", "poster", "data", "action", "xlink:href", "background"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join([*self.texts, *(child.text for child in self.children)]).strip()

    def all(self, tag: str) -> list[Element]:
        found = [self] if self.tag == tag else []
        return found + [element for child in self.children for element in child.all(tag)]


class Tree(HTMLParser):
    """Builds a tree and insists that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.root = Element("root", {})
        self.open = [self.root]
        self.feed(page)
        self.close()
        assert self.open == [self.root], f"not closed: {[element.tag for element in self.open]}"

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        if data.strip():
            self.open[-1].texts.append(data.strip())


@pytest.fixture(scope="module")
def page(result):
    gate = make_gate(thresholds=(threshold(passed=False),), baseline="b.json")
    return render_page(result, gate, ExampleImages())


@pytest.fixture(scope="module")
def tree(page):
    return Tree(page).root


def section(tree: Element, name: str) -> Element:
    return next(found for found in tree.all("section") if found.attributes.get("aria-labelledby") == name)


def test_nothing_is_loaded_from_anywhere(page, tree):
    def visit(element):
        assert element.tag not in ("script", "link", "iframe", "object", "embed", "base")
        for name in LOADING & set(element.attributes):
            assert element.attributes[name].startswith(("data:image/", "#")), (element.tag, name)
        for child in element.children:
            visit(child)

    visit(tree)
    assert not re.search(r"@import|url\((?!#)", page)
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert addresses <= {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}


def test_every_table_has_one_scoped_heading_per_column(result, tree):
    tables = [figure for figure in tree.all("figure") if figure.attributes.get("class") == "table"]
    assert len(tables) >= 2 * len(editor_tables(result, "inpaint"))
    for figure in tables:
        (heading,) = figure.all("thead")[0].all("tr")
        columns = heading.all("th")
        assert {cell.attributes["scope"] for cell in columns} == {"col"}
        for row in figure.all("tbody")[0].all("tr"):
            assert [cell.tag for cell in row.children] == ["th", *["td"] * (len(columns) - 1)]
            assert row.children[0].attributes["scope"] == "row"


def test_the_least_similar_value_is_bold(tree):
    table = section(tree, "inpaint").all("table")[1]
    headings = [cell.text for cell in table.all("thead")[0].all("th")]
    ssim = headings.index("SSIM\u00a0↑")
    bold = {row.children[0].text: bool(row.children[ssim].all("strong")) for row in table.all("tbody")[0].all("tr")}
    assert bold == {
        "Immunization baseline (Random noise)": False,
        "Immunization (Encoder attack)": False,
        "Immunization (Diffusion attack)": True,
    }


def test_claims_that_do_not_hold_are_shown(tree):
    cells = [cell for cell in section(tree, "claims").all("td") if "✗" in cell.text]
    assert [cell.text for cell in cells] == ["✗ −0.300 ± 0.010 not reproduced"]
    assert "not-reproduced" in cells[0].attributes["class"]


def test_the_verdict_and_what_broke_stand_at_the_top(tree):
    header = tree.all("header")[0].text
    assert "The gate fails: 1 threshold not kept." in header
    assert "maker/model" in header
    assert "n = 4 cases" in header
    assert "photoguard-eval 9.8.7" in header
    assert "may not rise by more than" in section(tree, "reading").text


def test_a_hostile_prompt_is_text(page, tree):
    assert "<script" not in page
    quoted = [quote.text for quote in tree.all("q")]
    assert quoted.count(HOSTILE_PROMPT) == 2
    assert set(quoted) == set(PROMPTS)
    assert any(HOSTILE_PROMPT in image.attributes["alt"] for image in tree.all("img"))


def test_every_picture_says_what_it_shows_and_small_ones_stay_sharp(tree):
    images = tree.all("img")
    assert all(image.attributes["alt"] for image in images)
    assert {image.attributes["class"] for image in images} == {"pixels"}


def test_all_pictures_of_a_case_are_there(result, tree):
    # Of each of two images: original, mask (inpainting), 3 immunized, 3 perturbations; of each of 4 cases: 4 edits.
    assert len(section(tree, "inpaint-cases").all("img")) == 2 * 8 + 4 * 4
    assert len(section(tree, "img2img-cases").all("img")) == 2 * 7 + 4 * 4


def test_edits_show_seed_and_scores(tree):
    text = section(tree, "inpaint-cases").text
    assert "cat-0, seed 10" in text
    assert "SSIM 0.880" in text
    assert "CLIP similarity 0.300" in text


def test_a_re_roll_has_a_column_of_its_edits_alone(result, gate):
    board = with_rerolls(result)
    gallery = make_gallery(board, "inpaint", ExampleImages())
    assert gallery.columns[:3] == ("No immunization", "Re-roll", "Random noise")
    lineups = gallery.images[0].lineups
    assert {len(lineup.pictures) for lineup in lineups} == {5}
    assert [lineup.pictures[1] is not None for lineup in lineups] == [False, False, True, True]
    assert "cat-0, seed 10; re-roll, seed 77" in [lineup.detail for lineup in lineups]
    assert lineups[2].pictures[1].facts == ("SSIM 0.480", "CLIP similarity 0.270")
    page = render_page(board, gate, ExampleImages())
    assert "an attack has to beat." in page
    assert NOTE_REROLL in Tree(page).root.all("section")[0].text
    assert NOTE_REROLL not in render_page(result, gate, ExampleImages())


def test_an_immunized_image_is_read_once_for_all_its_prompts(result):
    images = ExampleImages()
    make_gallery(result, "inpaint", images)
    # Once to show it, once for its perturbation.
    assert images.asked.count("noise-inpaint-cat") == 2


def test_an_attack_that_sees_the_prompt_shows_an_image_for_each(result):
    def keyed(method):
        cases = tuple(case.model_copy(update={"immunized": f"i-{case.case_id}"}) for case in method.cases)
        return method.model_copy(update={"cases": cases})

    methods = tuple(keyed(m) if m.attack.label == "encoder" else m for m in result.attack_rows)
    gallery = make_gallery(result.replaced(attack_rows=methods), "inpaint", ExampleImages())
    lineups = gallery.images[0].lineups
    assert [(lineup.heading, lineup.prompt) for lineup in lineups[:4]] == [
        ("Image", PROMPTS[0]),
        ("Mask, and perturbation ×10", PROMPTS[0]),
        ("Image", PROMPTS[1]),
        ("Perturbation ×10", PROMPTS[1]),
    ]
    assert [picture is not None for picture in lineups[2].pictures] == [False, False, True, False]


def test_a_board_of_many_rows_shows_the_largest_budgets_and_then_fewer_images(result, gate, monkeypatch):
    encoder = result.row("encoder", "inpaint")
    small = encoder.attack.threat_model.model_copy(update={"epsilon": 4 / 255})
    smaller = encoder.attack.model_copy(update={"threat_model": small})
    methods = (*result.attack_rows, encoder.model_copy(update={"attack": smaller}))
    board = result.replaced(attack_rows=methods, editors={"inpaint": {}})

    def shown(most):
        monkeypatch.setattr("photoguard_eval.reports.gallery.MOST_PICTURES", most)
        gallery = make_gallery(board, "inpaint", ExampleImages())
        return len(gallery.columns), [image.name for image in gallery.images], gallery.left_out

    # Two images with two rows and two cases each: 8 rows of pictures in as many columns as there are.
    assert shown(40) == (5, ["cat", "dog"], ())
    columns, images, (rows_left_out,) = shown(39)
    assert (columns, images) == (4, ["cat", "dog"])
    assert rows_left_out == "Of 4 rows 3 are shown: each attack with its largest budget."
    columns, images, left_out = shown(31)
    assert (columns, images) == (4, ["cat"])
    assert left_out[1].startswith("Of 2 images the first 1 are shown.")
    assert left_out[1] in render_page(board, gate, ExampleImages())
    assert shown(1)[1] == ["cat"]


def test_identifiers_are_unique_and_links_lead_somewhere(tree):
    def collect(element, name):
        own = [element.attributes[name]] if name in element.attributes else []
        return own + [value for child in element.children for value in collect(child, name)]

    identifiers = collect(tree, "id")
    assert len(identifiers) == len(set(identifiers))
    assert {link.removeprefix("#") for link in collect(tree, "href")} <= set(identifiers)


def test_large_pictures_are_said_to_be_scaled(result, gate, page):
    note = "are scaled down to that, with lossy compression"
    large = render_page(result, gate, ExampleImages(side=300))
    assert note not in page
    assert large.count(note) == 2
    assert "data:image/jpeg" in large


def test_the_figure_is_inline_and_legible_in_the_dark(tree):
    charts = [div for div in section(tree, "figure-7").all("div") if div.attributes.get("role") == "img"]
    assert len(charts) == 2
    assert charts[0].attributes["aria-label"].startswith("Mean CLIP similarity of edit and prompt under Inpainting")
    assert "currentColor" in str(charts[0].all("text")[0].attributes["style"])


def test_provenance_is_complete(tree):
    text = section(tree, "provenance").text
    for part in ("photoguard-eval run --preset ci", "a" * 64, "b" * 64, "numpy 2.0", "epsilon = ", "f" * 64):
        assert part in text


def test_stopped_attacks_and_runs_without_claims_are_told(result):
    failure = FailedAttack(attack="mine", editor="inpaint", error="returned <NaN>")
    gate = make_gate().model_copy(update={"claims": (), "failures": (failure,)})
    bare = result.replaced(attack_rows=(), failures=(failure,))
    page = render_page(bare, gate, ExampleImages())
    Tree(page)
    assert "Stopped: mine (inpaint): returned &lt;NaN&gt;" in page
    assert "this run has no two of them" in page


def test_the_page_is_the_same_every_time(result, gate):
    assert render_page(result, gate, ExampleImages()) == render_page(result, gate, ExampleImages())
