from __future__ import annotations

import re

import pytest

from photoguard_eval.reports import terminal_report, views
from photoguard_eval.reports.cells import Cell, Column, Row, Table
from photoguard_eval.reports.render import markdown
from photoguard_eval.reports.render.terminal import render_table
from photoguard_eval.results.facts import FailedAttack
from tests.reports.example import ExampleImages, editor_tables, make_gate, render_page, subject, threshold

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def parse_markdown_table(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert all(re.fullmatch(r":?-+:?", cell) for cell in rows[1])
    return [rows[0], *rows[2:]]


def test_a_markdown_table_has_the_tables_cells(result):
    table = editor_tables(result, "inpaint")[0]
    parsed = parse_markdown_table(markdown.render_table(table))
    assert parsed[0] == [column.label for column in table.header]
    for parsed_row, row in zip(parsed[1:], table.rows, strict=True):
        assert parsed_row == [f"**{cell.text}**" if cell.best else cell.text for cell in row.cells]


def test_names_cannot_break_a_markdown_table():
    table = Table("t", (Column("Method", False), Column("x")), (Row((Cell("a|b*c_d\nnext"), Cell("1"))),))
    parsed = parse_markdown_table(markdown.render_table(table))
    assert parsed[1] == [r"a\|b\*c\_d next", "1"]
    assert markdown.escape("<b>") == r"\<b\>"


def test_bold_is_ansi_only_where_asked_for(result):
    table = editor_tables(result, "inpaint")[1]
    plain, bold = render_table(table, bold=False), render_table(table, bold=True)
    assert ANSI.search(plain) is None
    assert "\x1b[1m0.400 ± 0.022\x1b[0m" in bold
    assert ANSI.sub("", bold) == plain


@pytest.mark.parametrize("width", [120, 100, 80])
@pytest.mark.parametrize("bold", [True, False])
def test_no_line_is_wider_than_the_terminal(result, width, bold):
    gate = make_gate(thresholds=(threshold(passed=False),), baseline="b.json")
    text = terminal_report(result, gate, paper_rows=True, bold=bold, width=width)
    assert max(len(ANSI.sub("", line)) for line in text.splitlines()) <= width


def test_a_long_label_does_not_widen_the_terminal_table(result):
    label = "folder,path=" + "z" * 150
    attack = result.attack_rows[0].attack.model_copy(update={"title": label})
    named = result.replaced(attack_rows=(result.attack_rows[0].model_copy(update={"attack": attack}),))
    text = "\n".join(render_table(table, bold=False, width=120) for table in editor_tables(named, "inpaint"))
    assert max(map(len, text.splitlines())) <= 120
    assert text.count("z") >= 150 * len(editor_tables(named, "inpaint"))


def test_a_split_table_repeats_its_first_column():
    header = (Column("Method", False), *(Column(f"column {index}") for index in range(9)))
    table = Table("t", header, (Row((Cell("mine"), *(Cell("0.123 ± 0.456") for _ in range(9)))),))
    text = render_table(table, bold=False, width=80)
    assert text.count("mine") == text.count("Method") > 1
    assert all(f"column {index}" in text for index in range(9))


def test_the_terminal_report_shows_what_is_not_reproduced_and_what_failed(result):
    failure = FailedAttack(attack="mine", editor="inpaint", error="returned NaN")
    gate = make_gate(thresholds=(threshold(passed=False),), baseline="b.json")
    gate = gate.model_copy(update={"failures": (failure,)})
    text = terminal_report(result, gate)
    assert "✗ −0.300 ± 0.010" in text
    assert "Stopped: mine (inpaint): returned NaN" in text
    assert text.rstrip().endswith("The gate fails: 1 threshold not kept, 1 attack stopped.")
    assert text.count("Arrows point to increasing image similarity") == 1


def markdown_report(subject):
    return markdown.render_document(views.markdown_document(subject), lambda figure: f"a b {figure.name}.png")


def test_the_markdown_report_has_tables_figures_verdict_and_provenance(result):
    text = markdown_report(subject(result, paper_rows=True))
    for name in ("figure-7", "tradeoff-inpaint", "edits-img2img"):
        assert text.count(f"](a%20b%20{name}.png)") == 1
    assert text.index("edits-img2img") > text.index("## Image to image")
    assert "**The gate has nothing to compare with" in text
    assert "✗ −0.300 ± 0.010 not reproduced" in text
    assert "*Immunization (Diffusion attack), paper, SD 1.5*" in text
    assert "- Command: photoguard-eval run --preset ci" in text
    assert text.count("### Table 6") == 2


def test_a_result_of_trusted_attacks_says_so_wherever_it_is_read(result, gate):
    trusted = result.replaced(provenance=result.provenance.model_copy(update={"trusted": True}))
    for measured in (trusted, result):
        texts = (
            markdown_report(subject(measured)),
            render_page(measured, gate, ExampleImages()),
            " ".join(terminal_report(measured, gate).split()),
        )
        assert [("can reach the scores" in text) for text in texts] == [measured is trusted] * 3


def test_a_report_without_figures_links_none(result):
    assert "![" not in markdown_report(subject(result.replaced(originals=(), attack_rows=())))
