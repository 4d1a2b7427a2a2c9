from __future__ import annotations

import pytest

from photoguard_eval.reports.cells import Table
from photoguard_eval.reports.naming import NOTE_REROLL
from photoguard_eval.results.schema import EvaluationResult
from tests.reports.example import (
    ATTACKS,
    TITLES,
    attack_info,
    editor_tables,
    leaderboard_tables,
    make_result,
    with_rerolls,
)

TABLE_6 = "Table 6: similarity of edits"
TABLE_10 = "Table 10: further similarity metrics"
PROMPT = "Figure 7 as numbers: similarity of the edit to the prompt"
IMPERCEPTIBILITY = "Imperceptibility and threat model"
COST = "Cost of immunizing one image"


def table(result: EvaluationResult, editor: str, title: str, **options: bool) -> Table:
    return next(found for found in editor_tables(result, editor, **options) if found.title == title)


def column(found: Table, label: str) -> list[str]:
    index = [heading.label for heading in found.header].index(label)
    return [row.cells[index].text for row in found.rows]


def best_row(found: Table, label: str) -> list[str]:
    index = [heading.label for heading in found.header].index(label)
    return [row.cells[0].text for row in found.rows if row.cells[index].best]


def test_columns_and_arrows_are_the_papers(result):
    headings = [heading.label for heading in table(result, "inpaint", TABLE_6).header]
    assert headings == ["Method", "FID ↓", "Precision ↑", "Recall ↑", "SSIM ↑", "PSNR ↑", "VIFp ↑", "FSIM ↑"]
    headings = [heading.label for heading in table(result, "inpaint", TABLE_10).header]
    assert headings == ["Method", "SR-SIM ↑", "GMSD ↓", "VSI ↑", "DSS ↑", "HaarPSI ↑"]


@pytest.mark.parametrize("editor", ["inpaint", "img2img"])
def test_numbers_are_the_results(result, editor):
    headings = {"SSIM ↑": "ssim", "PSNR ↑": "psnr", "VIFp ↑": "vifp", "FSIM ↑": "fsim"}
    for label, name in headings.items():
        for attack, text in zip(ATTACKS, column(table(result, editor, TABLE_6), label), strict=True):
            mean, std = (float(part) for part in text.split(" ± "))
            summary = result.row(attack, editor).metrics[name]
            assert mean == pytest.approx(summary.mean, abs=0.0051 if name == "psnr" else 0.00051)
            assert std == pytest.approx(summary.std, abs=0.0051 if name == "psnr" else 0.00051)


def test_set_metrics_stand_plain(result):
    assert column(table(result, "inpaint", TABLE_6), "FID ↓") == ["12.5", "101.2", "150.5"]
    assert column(table(result, "inpaint", TABLE_6), "Precision ↑") == ["1.000", "0.750", "0.500"]


def test_rows_are_named_as_in_the_paper(result):
    assert column(table(result, "inpaint", TABLE_6), "Method") == list(TITLES.values())


def test_the_least_similar_edit_is_best(result):
    assert best_row(table(result, "inpaint", TABLE_6), "SSIM ↑") == [TITLES["diffusion"]]
    assert best_row(table(result, "inpaint", TABLE_6), "FID ↓") == [TITLES["diffusion"]]
    assert best_row(table(result, "inpaint", TABLE_10), "GMSD ↓") == [TITLES["diffusion"]]


def test_the_floor_is_best_only_where_it_is(result):
    assert best_row(table(result, "img2img", TABLE_6), "SSIM ↑") == [TITLES["noise"]]


def test_equal_values_have_no_best(result):
    assert best_row(table(result, "inpaint", TABLE_6), "Recall ↑") == []


def test_the_most_similar_immunized_image_is_best(result):
    assert best_row(table(result, "inpaint", IMPERCEPTIBILITY), "SSIM of immunized ↑") == [TITLES["encoder"]]


def test_no_attack_is_best_by_prompt_where_the_original_is(result):
    assert best_row(table(result, "inpaint", PROMPT), "CLIP similarity ↑") == [TITLES["diffusion"]]
    assert best_row(table(result, "img2img", PROMPT), "CLIP similarity ↑") == []


def test_prompt_similarity_has_quartiles_and_the_original(result):
    found = table(result, "inpaint", PROMPT)
    assert column(found, "Method") == ["No immunization", *TITLES.values()]
    summary = result.original("inpaint").metrics["clip_similarity"]
    row = [cell.text for cell in found.rows[0].cells]
    assert row[2:] == [f"{value:.3f}" for value in (summary.first_quartile, summary.median, summary.third_quartile)]


def test_the_re_roll_stands_beside_the_attacks_and_is_never_best(result):
    rerolled = with_rerolls(result)
    found = table(rerolled, "img2img", TABLE_6)
    assert column(found, "Method") == ["Re-roll", *TITLES.values()]
    assert column(found, "SSIM ↑")[0] == "0.100 ± 0.022"
    assert best_row(found, "SSIM ↑") == [TITLES["noise"]], "the best of the attacks, as without it"
    notes = [note for shown in editor_tables(rerolled, "img2img") for note in shown.notes]
    assert notes.count(NOTE_REROLL) == 1
    assert NOTE_REROLL not in [note for shown in editor_tables(result, "img2img") for note in shown.notes]


def test_prompt_similarity_without_immunization_is_of_selected_and_of_independent_seeds(result):
    found = table(with_rerolls(result), "inpaint", PROMPT)
    assert column(found, "Method")[:3] == ["No immunization", "Re-roll", TITLES["noise"]]
    assert column(found, "CLIP similarity ↑")[:2] == ["0.320 ± 0.022", "0.290 ± 0.022"]
    assert any("these seeds: the metadata's. Where they were selected" in note for note in found.notes)
    assert not any("selected" in note for note in table(result, "inpaint", PROMPT).notes)


def test_measures_of_this_benchmark_are_apart_from_the_papers(result):
    headings = [heading.label for heading in table(result, "inpaint", "Measures of this benchmark").header]
    assert headings == ["Method", "KID ↓", "SSIM of region ↑"]


def test_budget_and_knowledge_are_shown(result):
    found = table(result, "inpaint", IMPERCEPTIBILITY)
    assert column(found, "Budget") == ["ℓ∞ 16/255"] * 3
    assert column(found, "Sees") == ["mask", "model, mask", "model, mask"]
    assert column(found, "RMS change") == ["8.50"] * 3


def test_cost_is_the_results(result):
    row = [cell.text for cell in table(result, "inpaint", COST).rows[0].cells]
    assert row[1:] == ["2.5", "1.00", "200", "800", "201", "512", "2"]


def test_cost_is_also_shown_as_multiples_of_the_encoder_attack_s(result):
    def cheaper(method):
        is_unit = method.attack.label == "encoder"
        return method.model_copy(update={"cost": method.cost.model_copy(update={"seconds": 1.0 if is_unit else 2.5})})

    methods = tuple(cheaper(method) for method in result.attack_rows)
    found = table(result.replaced(attack_rows=methods), "inpaint", COST)
    assert column(found, "× encoder") == ["1.00" if title == "1.0" else "2.50" for title in column(found, "Seconds")]
    assert "1.00" in column(found, "× encoder")


def test_folders_of_images_cost_nothing_known(result):
    method = result.attack_rows[0].model_copy(update={"cost": None})
    free = result.replaced(attack_rows=(method,))
    assert [cell.text for cell in table(free, "inpaint", COST).rows[0].cells[1:]] == ["–"] * 7


def test_extractors_are_named_under_the_table(result):
    assert "FID, Precision, Recall: measured with test features 0123abcd." in table(result, "inpaint", TABLE_6).notes
    assert "CLIP similarity: measured with test clip 89ef." in table(result, "inpaint", PROMPT).notes


def test_paper_rows_stand_beside_the_measured_ones(result):
    found = table(result, "inpaint", TABLE_6, paper_rows=True)
    printed = [row for row in found.rows if row.from_paper]
    assert [cell.text for cell in printed[2].cells] == [
        "Immunization (Encoder attack), paper, SD 1.5",
        "130.6 †",
        "0.95 †",
        "–",
        "0.58 ± 0.11",
        "14.91 ± 2.78",
        "0.30 ± 0.10",
        "0.73 ± 0.08",
    ]
    measured = result.row("encoder", "inpaint").metrics
    differences = [(measured["ssim"].mean - 0.58) / 0.11, (measured["psnr"].mean - 14.91) / 2.78]
    assert [cell.text for cell in printed[3].cells[:6]] == [
        "Immunization (Encoder attack), difference",
        "–",
        "–",
        "–",
        *(f"{difference:+.1f} σ".replace("-", "−") for difference in differences),
    ]
    assert not any(cell.best for row in printed for cell in row.cells)
    assert any(note.startswith("† Computed on Inception-v3") for note in found.notes)


def test_a_row_with_other_arguments_is_not_compared_with_the_paper(result):
    methods = tuple(
        method.model_copy(update={"attack": method.attack.model_copy(update={"label": "encoder,steps=4"})})
        if method.attack.name == "encoder"
        else method
        for method in result.attack_rows
    )
    found = table(result.replaced(attack_rows=methods), "inpaint", TABLE_6, paper_rows=True)
    compared = [row.cells[0].text for row in found.rows if row.cells[0].text.endswith("difference")]
    assert compared == [f"{TITLES[attack]}, difference" for attack in ("noise", "diffusion")]


def test_paper_rows_are_about_inpainting_and_only_on_request(result):
    assert not any(row.from_paper for row in table(result, "img2img", TABLE_6, paper_rows=True).rows)
    assert not any(row.from_paper for row in table(result, "inpaint", TABLE_6).rows)


def test_equal_titles_carry_the_label(result):
    twice = [
        method.model_copy(update={"attack": attack_info("encoder", label)})
        for label, method in (("encoder", result.attack_rows[1]), ("encoder,steps=7", result.attack_rows[1]))
    ]
    names = column(table(result.replaced(attack_rows=tuple(twice)), "inpaint", TABLE_6), "Method")
    assert names == [f"{TITLES['encoder']} [encoder]", f"{TITLES['encoder']} [encoder,steps=7]"]


def test_a_metric_that_a_row_lacks_is_a_dash():
    result = make_result()
    method = result.attack_rows[0]
    method = method.model_copy(update={"metrics": {name: s for name, s in method.metrics.items() if name != "ssim"}})
    partial = result.replaced(attack_rows=(method, *result.attack_rows[1:]))
    assert column(table(partial, "inpaint", TABLE_6), "SSIM ↑")[0] == "–"


def test_set_metrics_say_whether_they_are_biased(result):
    notes = [note for found in editor_tables(result, "inpaint") for note in found.notes]
    assert [note for note in notes if "one value over the set" in note] == [
        "FID, Precision, Recall: one value over the set of all 4 edits, biased for sets this small; compare rows, not "
        "papers.",
        "KID: one value over the set of all 4 edits, without bias; 0 or below is no difference.",
    ]


def settled_from(result, count):
    """Return the result whose set metrics need so many cases to say which row is better."""
    metrics = tuple(
        metric.model_copy(update={"settled_from": count if metric.kind == "distribution" else 0})
        for metric in result.metrics
    )
    return result.model_copy(update={"metrics": metrics})


@pytest.mark.parametrize(("count", "suffices"), [(4, True), (5, False)])
def test_of_too_few_cases_a_set_metric_is_shown_and_neither_bold_nor_ranked(result, count, suffices):
    settled = settled_from(result, count)
    found = table(settled, "inpaint", TABLE_6)
    assert column(found, "FID ↓") == ["12.5", "101.2", "150.5"]
    assert best_row(found, "FID ↓") == ([TITLES["diffusion"]] if suffices else [])
    assert best_row(found, "SSIM ↑") == [TITLES["diffusion"]]
    ranking = editor_tables(settled, "inpaint")[0]
    assert ({"FID", "Precision"} <= {heading.label for heading in ranking.header}) == suffices
    note = "FID, Precision, Recall: 4 cases are too few to say which row is better, so none is bold or ranked; 5 are "
    for shown in (found, leaderboard_tables([settled])[1]):
        assert any(line.startswith(note[: len("FID")]) and "too few" in line for line in shown.notes) != suffices
        assert best_row(shown, "FID ↓") == best_row(found, "FID ↓")
    assert any(line.startswith(note) for line in found.notes) != suffices


def test_a_metric_that_was_left_out_is_named(result):
    without = result.model_copy(update={"metrics": tuple(m for m in result.metrics if m.name != "kid")})
    note = "KID: left out, since a set of 4 edits is too small to be compared by it."
    assert note in table(without, "inpaint", TABLE_6).notes
    assert note not in table(result, "inpaint", TABLE_6).notes


def test_a_note_stands_once_per_editor(result):
    notes = [note for found in editor_tables(result, "inpaint") for note in found.notes]
    assert len(notes) == len(set(notes))


def test_an_editor_whose_attacks_were_all_stopped_has_no_tables(result):
    assert editor_tables(result.replaced(attack_rows=()), "inpaint") == ()
