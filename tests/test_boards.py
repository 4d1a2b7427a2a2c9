"""The finished results that the repository shares, and what the documentation says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoguard_eval.analysis.rows import attack_rows
from photoguard_eval.app.main import main
from photoguard_eval.pipeline.store import Store
from photoguard_eval.reports.naming import row_titles
from photoguard_eval.results.files import read_result
from photoguard_eval.results.summaries import summarize
from tests.boards import problems
from tests.reports.example import leaderboard_tables, ranking_tables

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "reports" / "boards").glob("*.json"))
RESULTS = {path.name: read_result(path) for path in FILES}
FIELD = "inpaint-a-emoji-scenes-paper-{}.json"
"""The files of the field's list of attacks, by budget in levels."""
EDITORS = {"inpainting": "inpaint", "variations": "img2img"}
HEADINGS = {
    "### In the paper's setting, at 16 levels": ["16"],
    "### In the paper's setting, at three budgets": ["16", "8", "4"],
}
WORDS = ("rank", "FID", "SSIM", "PSNR", "CLIP", "image", "cost")


def listed(option):
    """Return what the field's list names of an option."""
    lines = (ROOT / "reports" / "boards" / "field.txt").read_text(encoding="utf-8").split()
    return [line.removeprefix(f"--{option}=") for line in lines if line.startswith(f"--{option}=")]


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
    """Return what the documentation prints of each row, by label and editor."""
    found = {}
    for editor in result.editors:
        (ranking,) = ranking_tables(result, editor)
        ranks = {row.cells[0].text: row.cells[1].text for row in ranking.rows}
        rows = attack_rows(result, editor)
        for title, row in zip(row_titles(rows), rows, strict=True):
            means = {name: summary.mean for name, summary in row.metrics.items()}
            found[row.label, editor] = {
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


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_a_shared_result_may_stand_on_the_board(path):
    assert problems(path, RESULTS[path.name]) == []


def test_shared_results_can_be_compared():
    tables = leaderboard_tables([], {name: [result] for name, result in RESULTS.items()})
    assert not any("*" in cell.text for table in tables for row in table.rows for cell in row.cells)
    shown = {row.cells[0].text for table in tables for row in table.rows}
    assert {method.attack.title for method in RESULTS[FIELD.format(16)].attack_rows} - shown == set(), "as the paper's"


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_documentation_says_what_the_board_says(heading):
    header, rows = table_below(heading)
    assert [row[0] for row in rows] == listed("attack")
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
        for (label, editor), texts in printed(RESULTS[FIELD.format(level)]).items()
        for word, text in texts.items()
    }
    assert said == {key: measured[key] for key in said}


def another_attack(board):
    """Give the noise's and the encoder attack's rows of a board to a run of another attack beside the noise."""

    def mine(row):
        attack = row.attack.model_copy(
            update={"name": "mine", "label": "mine", "title": "Mine", "source": "mine.py:Mine", "fingerprint": "f" * 64}
        )
        cases = tuple(
            case.model_copy(update={"scores": {**case.scores, "ssim": case.scores["ssim"] / 2}}) for case in row.cases
        )
        metrics = {**row.metrics, "ssim": summarize([case.scores["ssim"] for case in cases])}
        return row.model_copy(update={"attack": attack, "cases": cases, "metrics": metrics})

    methods = tuple(
        mine(row) if row.label == "encoder" else row for row in board.attack_rows if row.label in ("noise", "encoder")
    )
    provenance = board.provenance.model_copy(update={"started": "2030-01-01T00:00:00+00:00"})
    return board.replaced(id="9" * 64, attack_rows=methods, provenance=provenance)


CARD = "# mine\n\nMine does this. Code: https://example.org/mine\n"


@pytest.fixture
def contributed(tmp_path, monkeypatch, capsys):
    """Follow CONTRIBUTING's way onto the board, in a copy of its folder: export the latest result, and write a card."""
    way = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    command = (
        "photoguard-eval leaderboard --store STORE --export reports/boards/<model>-<dataset>-<preset>-<attack>.json"
    )
    assert command in way
    assert "`reports/boards/<model>-<dataset>-<preset>-<attack>.md`" in way
    boards = tmp_path / "reports" / "boards"
    boards.mkdir(parents=True)
    for path in FILES:
        (boards / path.name).symlink_to(path)
    Store(tmp_path / "store").write_result(another_attack(RESULTS[FIELD.format(16)]))
    name = "inpaint-a-emoji-scenes-paper-mine"
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", "--store", "store", "--export", f"reports/boards/{name}.json", "--json"]) == 0
    (boards / f"{name}.md").write_text(CARD, encoding="utf-8")
    capsys.readouterr()
    return boards / f"{name}.json"


def test_a_result_that_came_as_contributing_says_stands_on_the_board(contributed, capsys):
    result = read_result(contributed)
    assert problems(contributed, result) == []
    assert main(["leaderboard", "--board", str(contributed.parent)]) == 0
    out = capsys.readouterr().out
    assert "*" not in out, "it was measured under the conditions of the others"
    ranking = out[out.index("Ranking at ℓ∞ 16/255 · Inpainting") :].split("\n\n")[0]
    assert "Mine" in ranking
    assert "Immunization (Diffusion attack)" in ranking


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"changed_settings": ("eta",)}, "eta is not the preset's"),
        ({"attack_rows": ()}, "it has no attack"),
        ({"preset": "smoke"}, "the cases are not the preset's"),
        ({"editors": {"inpaint": {}, "img2img": {}}}, "the settings of inpaint are not the preset's"),
    ],
)
def test_what_differs_from_the_preset_may_not(contributed, change, problem):
    assert problem in problems(contributed, read_result(contributed).replaced(**change))


def test_what_ran_where_it_could_reach_everything_may_not(contributed):
    result = read_result(contributed)
    trusted = result.replaced(provenance=result.provenance.model_copy(update={"trusted": True}))
    assert problems(contributed, trusted) == ["attacks of others ran in the main process (--trusted)"]


def test_other_weights_images_and_seeds_may_not(contributed):
    result = read_result(contributed)
    other = result.model_copy(
        update={
            "model": result.model.model_copy(update={"weights_sha256": "0"}),
            "dataset": result.dataset.model_copy(update={"sha256": "0"}),
            "cases": tuple(case.model_copy(update={"seed": {**case.seed, "inpaint": 99}}) for case in result.cases),
        }
    )
    assert problems(contributed, other) == [
        "the dataset has other content",
        "the model has other weights",
        "the seeds of inpaint are not the dataset's",
    ]


def test_what_is_not_whole_or_over_its_budget_may_not(contributed):
    result = read_result(contributed)
    row = result.row("mine", "inpaint")
    over = tuple(case.model_copy(update={"linf_levels": 16.01}) for case in row.cases)
    broken = {
        "mine under inpaint has not every case": {"cases": row.cases[1:]},
        "mine under inpaint changes images by 16.010 of 16.000 levels": {"cases": over},
        "mine under inpaint has not every metric": {
            "metrics": {name: summary for name, summary in row.metrics.items() if name != "fid"}
        },
    }
    for problem, change in broken.items():
        methods = tuple(own.model_copy(update=change) if own is row else own for own in result.attack_rows)
        assert problems(contributed, result.replaced(attack_rows=methods)) == [problem]
    alone = tuple(own for own in result.attack_rows if own is not row)
    assert problems(contributed, result.replaced(attack_rows=alone)) == ["mine has no row under inpaint"]


@pytest.mark.parametrize("card", [None, "# mine\n\nNo address.\n", "# other\n\nhttps://example.org\n"])
def test_an_attack_that_nobody_can_measure_again_may_not(contributed, card):
    path = contributed.with_suffix(".md")
    if card is None:
        path.unlink()
    else:
        path.write_text(card, encoding="utf-8")
    assert problems(contributed, read_result(contributed)) == [
        "mine is not of this package, and inpaint-a-emoji-scenes-paper-mine.md does not say where its code is"
    ]
