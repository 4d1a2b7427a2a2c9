from __future__ import annotations

import json

import pytest

from photoguard_eval.analysis.board_rows import leaderboard_rows
from photoguard_eval.results.rows import REFERENCES, Summary
from photoguard_eval.results.schema import without_pictures
from tests.reports.example import ATTACKS, EDITORS, leaderboard_tables, make_result, metric, with_rerolls
from tests.reports.test_ranking import on_images

KEYS = {
    *("attack", "editor", "budget", "purifier", "model", "dataset", "preset", "n"),
    *("metrics", "mean_rank", "ranks", "against_noise", "differs"),
}


def attack_rows(results, shared=None):
    """Return the rows without those of unprotected images."""
    return [row for row in leaderboard_rows(results, shared) if row["attack"] not in REFERENCES]


def with_ssim(started: str, mean: float, **model: str):
    result = make_result(started)
    methods = [
        method.model_copy(update={"metrics": {**method.metrics, "ssim": Summary(mean=mean, std=0.0)}})
        for method in result.attack_rows
    ]
    info = result.model.model_copy(update=model)
    return result.replaced(attack_rows=tuple(methods), model=info)


def test_rows_have_exactly_these_keys(result):
    rows = leaderboard_rows([result])
    assert [(row["editor"], row["attack"]) for row in rows] == [(e, a) for e in EDITORS for a in ("original", *ATTACKS)]
    for row in rows:
        assert set(row) == KEYS
        assert (row["model"], row["dataset"], row["preset"], row["n"]) == ("maker/model", "scenes", "ci", 4)
    assert json.loads(json.dumps(rows)) == rows


def test_rows_say_how_far_they_are_from_noise(result):
    rows = {(row["editor"], row["attack"]): row["against_noise"] for row in leaderboard_rows([with_rerolls(result)])}
    assert rows["inpaint", "encoder"] == {
        "metric": "ssim",
        "difference": pytest.approx(-0.3),
        "standard_error": pytest.approx(0),
        "share_of_reroll": pytest.approx(0.75),
        "beaten": None,
        "tested": 0,
    }
    assert rows["inpaint", "re-roll"]["share_of_reroll"] == 1
    assert rows["inpaint", "noise"] is rows["inpaint", "original"] is None
    of_many = leaderboard_rows([on_images(result, 8)])
    assert [row["against_noise"]["beaten"] for row in of_many if row["attack"] == "encoder"] == [10, 9]


def test_unprotected_images_have_the_rows_of_the_latest_result_that_has_them(result):
    """A shared result of before has no re-roll; one of other seeds has one that is not to be compared."""
    own = with_rerolls(result)
    shared = as_mine(result, LATER, 0.1)
    ranking, means, *_ = leaderboard_tables([own], {PLACE: [shared]})
    assert [row.cells[0].text for row in means.rows][:2] == ["No immunization", "Re-roll"]
    assert ranking.rows[-1].cells[0].text == "Re-roll"
    cases = tuple(case.model_copy(update={"seed": {"inpaint": 99, "img2img": 98}}) for case in result.cases)
    others = shared.model_copy(update={"cases": cases})
    (means, *_) = leaderboard_tables([own], {PLACE: [others]})
    assert means.rows[1].cells[3].text == "0.500 ± 0.022 *"
    assert means.rows[1].cells[0].text == "Re-roll"
    before = leaderboard_tables([result], {PLACE: [shared]})[1]
    assert "Re-roll" not in {row.cells[0].text for row in before.rows}


def test_set_metrics_have_no_std_and_case_metrics_have_both(result):
    for row in leaderboard_rows([result]):
        for name, values in row["metrics"].items():
            expected = {"mean"} if name in ("fid", "precision", "recall", "kid") else {"mean", "std"}
            assert set(values) == expected, name


def test_numbers_are_the_results_in_full(result):
    row = attack_rows([result])[1]
    summary = result.row("encoder", "inpaint").metrics["ssim"]
    assert row["metrics"]["ssim"] == {"mean": summary.mean, "std": summary.std}
    assert row["metrics"]["fid"] == {"mean": 101.25}


def test_the_latest_result_wins_whatever_the_order():
    older, newer = with_ssim("2030-01-01T00:00:00+00:00", 0.1), with_ssim("2030-01-02T00:00:00+00:00", 0.2)
    for results in ([older, newer], [newer, older]):
        rows = attack_rows(results)
        assert len(rows) == 6
        assert {row["metrics"]["ssim"]["mean"] for row in rows} == {0.2}


def test_other_models_and_presets_are_other_rows(result):
    other = result.model_copy(update={"preset": "paper"})
    assert len(attack_rows([result, other])) == 12


def test_rankings_and_one_table_per_model_dataset_preset_and_editor(result):
    other = result.model_copy(update={"preset": "paper"})
    assert [table.title for table in leaderboard_tables([result, other])] == [
        f"{ranking}{editor} · maker/model · scenes · {preset}"
        for preset in ("ci", "paper")
        for editor in ("Inpainting", "Image to image")
        for ranking in ("Ranking at ℓ∞ 16/255 · ", "")
    ]


def as_mine(result, started, ssim, **changes):
    """The diffusion attack's row in inpainting as that of another attack, which its author measured."""
    row = result.row("diffusion", "inpaint")
    cases = tuple(case.model_copy(update={"scores": {**case.scores, "ssim": ssim}}) for case in row.cases)
    attack = row.attack.model_copy(update={"name": "mine", "label": "mine", "title": "Mine"})
    metrics = {**row.metrics, "ssim": Summary(mean=ssim, std=0.0)}
    mine = row.model_copy(update={"attack": attack, "metrics": metrics, "cases": cases})
    provenance = result.provenance.model_copy(update={"started": started})
    return result.replaced(attack_rows=(mine,), provenance=provenance, **changes)


def ranked(table):
    """Return the methods of a ranking with their ranks by SSIM."""
    headings = [column.label for column in table.header]
    return {row.cells[0].text: row.cells[headings.index("SSIM")].text for row in table.rows}


def test_a_new_attack_is_ranked_among_shared_rows(result):
    ranking, _, *_ = leaderboard_tables([as_mine(result, "2030-02-01T00:00:00+00:00", 0.1), without_pictures(result)])
    assert ranked(ranking) == {
        "Mine": "1",
        "Immunization (Diffusion attack)": "2",
        "Immunization (Encoder attack)": "3",
        "Immunization baseline (Random noise)": "4",
    }


def test_rows_of_other_seeds_are_marked_and_not_ranked(result):
    cases = tuple(case.model_copy(update={"seed": {"inpaint": 99, "img2img": 98}}) for case in result.cases)
    ranking, means, *_ = leaderboard_tables([result, as_mine(result, "2029-02-01T00:00:00+00:00", 0.1, cases=cases)])
    assert "Mine" not in ranked(ranking)
    headings = [column.label for column in means.header]
    (row,) = (row for row in means.rows if row.cells[0].text == "Mine")
    assert row.cells[headings.index("SSIM ↑")].text == "0.100 ± 0.000 *"
    assert any("seeds" in note for note in means.notes)


def test_changed_settings_have_a_table_of_their_own(result):
    """A trial run neither replaces a row of the preset nor decides what the rest is compared with."""
    editors = {name: {**settings, "eta": 0.0} for name, settings in result.editors.items()}
    trial = with_ssim("2030-02-01T00:00:00+00:00", 0.05).model_copy(
        update={"editors": editors, "changed_settings": ("eta",)}
    )
    tables = leaderboard_tables([result, trial])
    assert tables[: len(tables) // 2] == leaderboard_tables([result])
    assert [table.title for table in tables[-2:]] == [
        f"{ranking}Image to image · maker/model · scenes · ci · eta = 0.0"
        for ranking in ("Ranking at ℓ∞ 16/255 · ", "")
    ]


def test_a_result_without_pictures_keeps_everything_else(result):
    shared = without_pictures(result)
    rows = (*shared.originals, *shared.attack_rows)
    assert {key for row in rows for case in row.cases for key in (case.immunized, case.edit)} == {""}
    assert leaderboard_rows([shared]) == leaderboard_rows([result])
    assert [case.scores for row in rows for case in row.cases] == [
        case.scores for row in (*result.originals, *result.attack_rows) for case in row.cases
    ]


def test_rows_of_other_extractors_are_marked_and_never_best(result):
    older = make_result("2029-01-01T00:00:00+00:00")
    foreign = older.attack_rows[2].model_copy(
        update={"attack": older.attack_rows[2].attack.model_copy(update={"label": "diffusion,steps=9"})}
    )
    fid = metric("fid", "FID", "6", higher=False, kind="distribution").model_copy(update={"extractor": "Inception-v3"})
    metrics = (fid, *older.metrics[1:])
    board = leaderboard_tables([result, older.replaced(attack_rows=(foreign,), metrics=metrics)])[1]
    headings = [column.label for column in board.header]
    cells = {row.cells[0].text: row.cells for row in board.rows}
    marked = cells["Immunization (Diffusion attack) [diffusion,steps=9]"]
    assert marked[headings.index("FID ↓")].text == "150.5 *"
    assert not marked[headings.index("FID ↓")].best
    assert marked[headings.index("SSIM ↑")].text == "0.400 ± 0.022"
    assert any(note.startswith("* Measured with other weights") for note in board.notes)


def of(result, **changes):
    """The same result with what says who its attacks are changed."""
    rows = [row.model_copy(update={"attack": row.attack.model_copy(update=changes)}) for row in result.attack_rows]
    return result.replaced(attack_rows=tuple(rows))


PLACE = "theirs/result.json"
LATER = "2030-02-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"source": "mine.py:Mine", "fingerprint": "a"}, {"source": "mine.py:Mine", "fingerprint": "b"}),
        ({"source": "mine.py:Mine", "fingerprint": ""}, {"source": "mine.py:Mine", "fingerprint": ""}),
        ({"source": "photoguard_eval", "fingerprint": "a"}, {"source": "mine.py:Mine", "fingerprint": "b"}),
        ({"source": "photoguard_eval", "name": "folder"}, {"source": "photoguard_eval", "name": "folder"}),
    ],
)
def test_namesakes_of_others_keep_their_row(result, mine, theirs):
    own = of(as_mine(result, LATER, 0.1), **mine)
    other = of(as_mine(result, result.provenance.started, 0.2), **theirs)
    rows = attack_rows([own], {PLACE: [result, other]})
    assert {row["attack"]: row["metrics"]["ssim"]["mean"] for row in rows if "mine" in row["attack"]} == {
        "mine": 0.1,
        f"mine [{PLACE}]": 0.2,
    }
    ranking, means, *_ = leaderboard_tables([own], {PLACE: [result, other]})
    assert {"Mine": "1", f"Mine [{PLACE}]": "2"}.items() <= ranked(ranking).items()
    assert {"Mine", f"Mine [{PLACE}]"} <= {row.cells[0].text for row in means.rows}


def test_two_others_of_one_name_are_both_told_by_their_place(result):
    first, second = (of(as_mine(result, LATER, ssim), source="mine", fingerprint=str(ssim)) for ssim in (0.1, 0.2))
    rows = attack_rows([], {"a.json": [first], "b.json": [second]})
    assert [row["attack"] for row in rows] == ["mine [a.json]", "mine [b.json]"]


@pytest.mark.parametrize(
    "who",
    [
        {"source": "photoguard_eval", "fingerprint": "of any version"},
        {"source": "mine.py:Mine", "fingerprint": "a"},
    ],
)
def test_the_same_attack_has_one_row_the_latest_whoever_measured_it(result, who):
    older, newer = as_mine(result, result.provenance.started, 0.1), as_mine(result, LATER, 0.2)
    older = of(older, **(who if who["source"] != "photoguard_eval" else {**who, "fingerprint": "of another"}))
    for own, other in ((older, of(newer, **who)), (of(newer, **who), older)):
        rows = attack_rows([own], {PLACE: [other]})
        assert [(row["attack"], row["metrics"]["ssim"]["mean"]) for row in rows] == [("mine", 0.2)]


def test_ones_own_exported_row_is_not_there_twice(result):
    own = of(as_mine(result, LATER, 0.1), source="photoguard_eval", name="folder")
    assert leaderboard_rows([own], {PLACE: [without_pictures(own)]}) == leaderboard_rows([own])
