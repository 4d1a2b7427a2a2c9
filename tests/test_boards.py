"""The finished results that the repository shares, and what the documentation says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoguard_eval.cases import load_dataset
from photoguard_eval.diffusion import identify_model
from photoguard_eval.evaluation.results import read_result
from photoguard_eval.reports.leaderboard import leaderboard_tables
from photoguard_eval.reports.naming import budget_text, editor_methods, method_titles, without_epsilon
from photoguard_eval.reports.ranking import ranking_tables

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "reports" / "boards").glob("*.json"))
RESULTS = {path.name: read_result(path) for path in FILES}
EDITORS = {"inpainting": "inpaint", "variations": "img2img"}
HEADINGS = {
    "### In the paper's setting, at 16 levels": ["16"],
    "### In the paper's setting, at three budgets": ["16", "8", "4"],
}
WORDS = ("rank", "FID", "SSIM", "PSNR", "CLIP", "image", "cost")


def specs(budget):
    """Return the attacks of the field's list at a budget, without it."""
    lines = (ROOT / "reports" / "boards" / "field.txt").read_text(encoding="utf-8").split()
    labels = [line.removeprefix("--attack=") for line in lines]
    if budget == "ℓ∞ 16/255":
        return [label for label in labels if "," not in label]
    levels = budget.removeprefix("ℓ∞ ")
    return [label.removesuffix(f",epsilon={levels}") for label in labels if label.endswith(f",epsilon={levels}")]


def table_below(heading):
    """Return the first table of docs/attacks.md below a heading: its heads and its rows."""
    lines = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8").splitlines()
    below = lines[lines.index(heading) + 1 :]
    start = next(number for number, line in enumerate(below) if line.startswith("|"))
    rows = []
    for line in below[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip(" *`") for cell in line.strip("|").split("|")])
    return rows[0], rows[2:]


def printed(result):
    """Return what the documentation prints of each row, by label without the budget and editor."""
    found = {}
    for editor in result.editors:
        (ranking,) = ranking_tables(result, editor)
        ranks = {row.cells[0].text: row.cells[1].text for row in ranking.rows}
        methods = editor_methods(result, editor)
        for title, method in zip(method_titles(methods), methods, strict=True):
            means = {name: summary.mean for name, summary in method.metrics.items()}
            found[without_epsilon(method.attack.label), editor] = {
                "rank": ranks[title],
                "FID": f"{means['fid']:.1f}",
                "SSIM": f"{means['ssim']:.3f}",
                "PSNR": f"{means['psnr']:.1f}",
                "CLIP": f"{means['clip_similarity']:.3f}",
                "image": f"{means['immunized_ssim']:.3f}",
            }
    return found


def columns(header):
    """Return editor, word and level of each column of figures; all three go on to the columns that name none."""
    editor, word, level = "", "", "16"
    for text in header[1:]:
        for name, key in EDITORS.items():
            if name in text:
                editor = key
        word = next((candidate for candidate in WORDS if candidate in text), word)
        level = "".join(filter(str.isdigit, text)) or level
        yield editor, word, level


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_a_shared_result_is_whole(result):
    assert result.failures == ()
    assert result.changed_settings == ()
    assert {(result.preset, result.model.name, result.dataset.name)} == {("paper", "inpaint-a", "emoji-scenes")}
    budgets = {budget_text(method.attack.threat_model) for method in result.methods}
    assert len(budgets) == 1
    for editor in EDITORS.values():
        rows = editor_methods(result, editor)
        assert [without_epsilon(method.attack.label) for method in rows] == specs(*budgets)
        for method in rows:
            assert len(method.cases) == len(result.cases) == 60
            levels = method.attack.threat_model.epsilon * 255
            assert 0 < max(case.linf_levels for case in method.cases) <= levels + 1e-6


def test_shared_results_are_of_what_the_package_carries():
    dataset, model = load_dataset("emoji-scenes"), identify_model("inpaint-a")
    for result in RESULTS.values():
        assert (result.dataset.sha256, result.model.weights_sha256) == (dataset.sha256, model.weights_sha256)


def test_shared_results_can_be_compared():
    tables = leaderboard_tables([], {name: [result] for name, result in RESULTS.items()})
    assert len(tables) == len(EDITORS) * (len(RESULTS) + 1)
    assert not any("*" in cell.text for table in tables for row in table.rows for cell in row.cells)


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_documentation_says_what_the_board_says(heading):
    header, rows = table_below(heading)
    assert [row[0] for row in rows] == specs("ℓ∞ 16/255")
    said = {
        (row[0], editor, word, level): cell
        for row in rows
        for (editor, word, level), cell in zip(columns(header), row[1:], strict=True)
        if word != "cost"
    }
    assert {level for *_, level in said} == set(HEADINGS[heading])
    measured = {
        (label, editor, word, level): text
        for level in HEADINGS[heading]
        for (label, editor), texts in printed(RESULTS[f"inpaint-a-emoji-scenes-paper-{level}.json"]).items()
        for word, text in texts.items()
    }
    assert said == {key: measured[key] for key in said}
