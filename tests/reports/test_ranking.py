from __future__ import annotations

import pytest

from photoguard_eval.analysis.statistics import paired_difference
from photoguard_eval.reports.naming import NOTE_REROLL
from tests.reports.example import TITLES, editor_tables, ranking_tables, with_rerolls


def with_budgets(result, budgets):
    """Give the attacks other budgets, in order."""

    def changed(method, epsilon):
        threat_model = method.attack.threat_model.model_copy(update={"epsilon": epsilon})
        attack = method.attack.model_copy(update={"threat_model": threat_model})
        return method.model_copy(update={"attack": attack})

    methods = [changed(method, budgets[index % len(budgets)]) for index, method in enumerate(result.attack_rows)]
    return result.replaced(attack_rows=tuple(methods))


def with_scores(result, attack, metric, values):
    """Replace an attack's scores by one metric, case by case, and leave the mean as it is."""

    def changed(method):
        if method.attack.label != attack:
            return method
        cases = [
            case.model_copy(update={"scores": {**case.scores, metric: value}})
            for case, value in zip(method.cases, values, strict=True)
        ]
        return method.model_copy(update={"cases": tuple(cases)})

    return result.replaced(attack_rows=tuple(changed(method) for method in result.attack_rows))


def column(table, label):
    index = [heading.label for heading in table.header].index(label)
    return {row.cells[0].text: row.cells[index] for row in table.rows}


def test_rows_are_ordered_by_their_mean_rank(result):
    (table,) = ranking_tables(result, "inpaint")
    assert table.title == "Ranking at ℓ∞ 16/255"
    assert [row.cells[0].text for row in table.rows] == [TITLES[name] for name in ("diffusion", "encoder", "noise")]
    assert [row.cells[1].text for row in table.rows] == ["1.0", "2.0", "3.0"]
    assert [row.cells[1].best for row in table.rows] == [True, False, False]


def test_every_metric_of_the_paper_that_tells_the_rows_apart_is_ranked(result):
    (table,) = ranking_tables(result, "inpaint")
    headings = [heading.label for heading in table.header]
    # By recall all rows are equal, and KID is not the paper's.
    expected = ["FID", "Precision", "SSIM", "PSNR", "VIFp", "FSIM", "SR-SIM", "GMSD", "VSI", "DSS", "HaarPSI"]
    assert headings == ["Method", "Mean rank", "SSIM against noise", *expected, "CLIP similarity"]
    assert [column(table, "GMSD")[TITLES[name]].text for name in ("diffusion", "encoder", "noise")] == ["1", "2", "3"]


def test_metrics_may_disagree(result):
    (table,) = ranking_tables(result, "img2img")
    assert column(table, "SSIM")[TITLES["noise"]].best
    assert column(table, "PSNR")[TITLES["diffusion"]].best
    assert "Kendall's W" in table.notes[1]
    assert "W: 1.00" in ranking_tables(result, "inpaint")[0].notes[1]
    assert "W: 1.00" not in table.notes[1]


def test_a_lead_within_two_standard_errors_is_marked(result):
    uneven = with_scores(result, "encoder", "ssim", [0.0, 0.3, 0.9, 1.2])
    (table,) = ranking_tables(uneven, "inpaint")
    assert column(table, "SSIM")[TITLES["encoder"]].text == "2 ≈"
    assert column(table, "SSIM")[TITLES["noise"]].text == "3"
    assert column(table, "PSNR")[TITLES["encoder"]].text == "2"
    assert column(table, "FID")[TITLES["encoder"]].text == "2"


def test_prompts_of_an_image_are_not_independent(result):
    """Of two images one has another lead than the other; that each has it twice tells nothing more."""
    leads = [0.05, 0.05, 0.35, 0.35]
    diffusion = [case.scores["ssim"] for case in result.row("diffusion", "inpaint").cases]
    uneven = with_scores(
        result, "encoder", "ssim", [score + lead for score, lead in zip(diffusion, leads, strict=True)]
    )
    difference, error = paired_difference(leads, [0.0] * 4, ["a", "b", "c", "d"])
    assert difference > 2 * error
    (table,) = ranking_tables(uneven, "inpaint")
    assert column(table, "SSIM")[TITLES["encoder"]].text == "2 ≈"


def test_of_a_single_image_nothing_is_known(result):
    cases = tuple(case.model_copy(update={"image_id": "cat"}) for case in result.cases)
    (table,) = ranking_tables(result.model_copy(update={"cases": cases}), "inpaint")
    assert {cell.text for cell in column(table, "SSIM").values()} == {"1", "2 ≈", "3 ≈"}


def test_who_is_better_on_images_is_not_clearly_worse(result):
    """One image has three prompts, the other one: ranks count prompts, the doubt counts images."""
    cases = tuple(
        case.model_copy(update={"image_id": image})
        for case, image in zip(result.cases, ("cat", "cat", "cat", "dog"), strict=True)
    )
    result = with_scores(result, "diffusion", "ssim", [0.2, 0.2, 0.2, 0.9])
    result = with_scores(result, "encoder", "ssim", [0.4, 0.4, 0.4, 0.4]).model_copy(update={"cases": cases})
    (table,) = ranking_tables(result, "inpaint")
    assert column(table, "SSIM")[TITLES["diffusion"]].text == "1"
    assert column(table, "SSIM")[TITLES["encoder"]].text == "2 ≈"


NOISE, ENCODER, DIFFUSION = (TITLES[name] for name in ("noise", "encoder", "diffusion"))


def on_images(result, count):
    """The same scores on so many images, each with one prompt."""
    cases = tuple(result.cases[0].model_copy(update={"id": f"{n}", "image_id": f"{n}"}) for n in range(count))

    def repeated(method):
        return method.model_copy(update={"cases": tuple(method.cases[n % 4] for n in range(count))})

    methods = tuple(repeated(method) for method in result.attack_rows)
    return result.replaced(cases=cases, attack_rows=methods)


def test_every_metric_says_who_beats_the_noise(result):
    (table,) = ranking_tables(on_images(result, 8), "inpaint")
    beats = {title: cell.text for title, cell in column(table, "Beats noise").items()}
    assert beats == {DIFFUSION: "10 of 10", ENCODER: "10 of 10", NOISE: "–"}
    assert "over the 8 images" in table.notes[-2]


def test_the_size_of_a_lead_stands_beside_its_count(result):
    """A lead of a thousandth on every image is as sure as one of a half, and protects nothing."""
    eight = on_images(result, 8)
    noise = [case.scores["ssim"] for case in eight.row("noise", "inpaint").cases]
    leads = [0.001, 0.002] * 4
    tiny = with_scores(eight, "encoder", "ssim", [score - lead for score, lead in zip(noise, leads, strict=True)])
    (table,) = ranking_tables(tiny, "inpaint")
    assert column(table, "Beats noise")[ENCODER].text == "10 of 10"
    difference, error = paired_difference([-lead for lead in leads], [0.0] * 8, list("abcdefgh"))
    assert (round(difference, 4), round(error, 4)) == (-0.0015, 0.0002)
    assert column(table, "SSIM against noise")[ENCODER].text == "−0.002 ± 0.000"
    assert column(table, "SSIM against noise")[DIFFUSION].text == "−0.500 ± 0.000"
    assert column(table, "SSIM against noise")[NOISE].text == "–"


def test_of_a_single_image_the_size_has_no_error(result):
    cases = tuple(case.model_copy(update={"image_id": "cat"}) for case in result.cases)
    (table,) = ranking_tables(result.model_copy(update={"cases": cases}), "inpaint")
    assert column(table, "SSIM against noise")[ENCODER].text == "−0.300"


def test_a_re_roll_says_how_far_that_is_and_has_no_rank(result):
    (table,) = ranking_tables(with_rerolls(result), "inpaint")
    assert [row.cells[0].text for row in table.rows] == [DIFFUSION, ENCODER, NOISE, "Re-roll"]
    shares = {title: cell.text for title, cell in column(table, "Of a re-roll").items()}
    assert shares == {DIFFUSION: "125 %", ENCODER: "75 %", NOISE: "–", "Re-roll": "100 %"}
    assert column(table, "SSIM against noise")["Re-roll"].text == "−0.400 ± 0.000"
    assert {column(table, label)["Re-roll"].text for label in ("Mean rank", "SSIM", "FID")} == {"–"}
    assert NOTE_REROLL in table.notes
    (without,) = ranking_tables(result, "inpaint")
    assert [column(without, label) for label in ("Mean rank", "SSIM")] == [
        {title: cell for title, cell in column(table, label).items() if title != "Re-roll"}
        for label in ("Mean rank", "SSIM")
    ]


def test_a_re_roll_that_is_no_further_than_the_noise_is_no_measure(result):
    """In variations the noise is the furthest row here, and the re-roll is put beside it."""
    rerolled = with_rerolls(result)
    near = [case.scores["ssim"] for case in result.row("noise", "img2img").cases]
    rows = tuple(
        row.model_copy(
            update={
                "cases": tuple(
                    case.model_copy(update={"scores": {**case.scores, "ssim": score}})
                    for case, score in zip(row.cases, near, strict=True)
                )
            }
        )
        for row in rerolled.rerolls
    )
    (table,) = ranking_tables(rerolled.replaced(rerolls=rows), "img2img")
    assert "Of a re-roll" not in [heading.label for heading in table.header]
    assert column(table, "SSIM against noise")["Re-roll"].text == "0.000 ± 0.000"


def test_budgets_that_differ_by_rounding_are_one(result):
    """16/255 is one budget however it is written; 0.06275 is another, and is called so."""
    together = with_budgets(result, [16 / 255, 0.06274509803921569, 0.0627450980])
    (table,) = ranking_tables(together, "inpaint")
    assert (table.title, len(table.rows)) == ("Ranking at ℓ∞ 16/255", 3)
    apart = ranking_tables(with_budgets(result, [16 / 255, 0.06275, 0.06275]), "inpaint")
    assert [(table.title, len(table.rows)) for table in apart] == [("Ranking at ℓ∞ 16.001/255", 2)]


def test_who_is_ahead_by_chance_does_not_beat_the_noise(result):
    noise = [case.scores["ssim"] for case in on_images(result, 8).row("noise", "inpaint").cases]
    leads = [0.3, 0.2, 0.1, 0.05, 0.02, -0.15, -0.12, -0.01]
    scores = [score - lead for score, lead in zip(noise, leads, strict=True)]
    (table,) = ranking_tables(with_scores(on_images(result, 8), "encoder", "ssim", scores), "inpaint")
    assert column(table, "Beats noise")[ENCODER].text == "9 of 10"
    assert column(table, "Beats noise")[DIFFUSION].text == "10 of 10"


def test_a_metric_of_distance_counts_the_other_way(result):
    noise = [case.scores["gmsd"] for case in on_images(result, 8).row("noise", "inpaint").cases]
    closer = with_scores(on_images(result, 8), "encoder", "gmsd", [score - 0.01 for score in noise])
    (table,) = ranking_tables(closer, "inpaint")
    assert column(table, "Beats noise")[ENCODER].text == "9 of 10"


def test_more_attacks_make_a_finding_harder(result):
    """Of five images the smallest p is 1/32: enough for one attack, not for two."""
    five = on_images(result, 5)
    alone = five.replaced(attack_rows=tuple(m for m in five.attack_rows if m.attack.name != "diffusion"))
    assert column(ranking_tables(alone, "inpaint")[0], "Beats noise")[ENCODER].text == "10 of 10"
    assert "Beats noise" not in [heading.label for heading in ranking_tables(five, "inpaint")[0].header]
    assert column(ranking_tables(on_images(result, 6), "inpaint")[0], "Beats noise")[ENCODER].text == "10 of 10"


@pytest.mark.parametrize("case", ["too few images", "no noise"])
def test_without_a_floor_or_images_enough_nothing_is_said(result, case):
    if case == "no noise":
        eight = on_images(result, 8)
        result = eight.replaced(attack_rows=tuple(m for m in eight.attack_rows if m.attack.name != "noise"))
    (table,) = ranking_tables(result, "inpaint")
    headings = [heading.label for heading in table.header]
    assert "Beats noise" not in headings
    assert ("SSIM against noise" in headings) == (case == "too few images")
    assert not any("Wilcoxon" in note for note in table.notes)


def test_rows_are_ranked_among_those_of_the_same_budget(result):
    tables = ranking_tables(with_budgets(result, [16 / 255, 8 / 255, 8 / 255]), "inpaint")
    assert [table.title for table in tables] == ["Ranking at ℓ∞ 8/255"]
    assert [row.cells[1].text for row in tables[0].rows] == ["1.0", "2.0"]


def test_equal_rows_share_the_middle(result):
    twins = [method for method in result.attack_rows if method.attack.label == "encoder"]
    other = [
        method.model_copy(update={"attack": method.attack.model_copy(update={"label": "encoder,x=1"})})
        for method in twins
    ]
    (table,) = ranking_tables(result.replaced(attack_rows=(*twins, *other)), "inpaint")
    assert [row.cells[1].text for row in table.rows] == ["1.5", "1.5"]
    assert not any(cell.best for row in table.rows for cell in row.cells)
    assert len(table.header) == 2


@pytest.mark.parametrize(("editor", "label"), [("img2img", "SSIM ↑"), ("inpaint", "CLIP similarity ↑")])
def test_best_is_the_best_of_the_rows_with_the_same_budget(result, editor, label):
    """By SSIM the noise is ahead of both attacks in variations, but alone with its budget."""
    tables = editor_tables(with_budgets(result, [16 / 255, 8 / 255, 8 / 255]), editor)[1:]
    table = next(found for found in tables if label in [heading.label for heading in found.header])
    best = [title for title, cell in column(table, label).items() if cell.best]
    assert best == [TITLES["diffusion"]]
