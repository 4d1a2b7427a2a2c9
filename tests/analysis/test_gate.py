import json

import pytest

from photoguard_eval.analysis.baseline import make_baseline, read_baseline
from photoguard_eval.analysis.baseline_places import find_baseline
from photoguard_eval.analysis.claims import evaluate_claims
from photoguard_eval.analysis.gate import bless, check, check_if_comparable
from photoguard_eval.analysis.verdict import summarize_gate
from photoguard_eval.errors import BaselineError
from photoguard_eval.metrics import METRICS
from photoguard_eval.reports.views.verdict import verdict_of
from photoguard_eval.results.facts import FailedAttack
from photoguard_eval.results.schema import EvaluationResult
from photoguard_eval.results.summaries import summarize


def attacks_of(data):
    """Return the rows of attacks of a result that was dumped."""
    return [row for row in data["rows"] if row["attack"]]


def rows_of(data, seeds):
    """Return its rows of unprotected images with some seeds."""
    return [row for row in data["rows"] if row["attack"] is None and row["seeds"] == seeds]


def with_shift(result, attack, metric, shift):
    """Return the result with one attack's metric moved in every case, as if it had been measured so."""
    data = result.model_dump()
    for method in attacks_of(data):
        if method["attack"]["name"] == attack:
            method["metrics"][metric]["mean"] += shift
            for case in method["cases"]:
                if metric in case["scores"]:
                    case["scores"][metric] += shift
    return EvaluationResult.model_validate(data)


def with_preset_labels(result):
    """Return a result whose attacks count as the preset's own, whatever was changed for speed."""
    data = result.model_dump()
    for method in attacks_of(data):
        method["attack"]["label"] = method["attack"]["name"]
    return EvaluationResult.model_validate(data)


@pytest.fixture
def result(finished):
    return with_preset_labels(finished[1])


@pytest.fixture
def baseline(result, tmp_path):
    path = tmp_path / "baseline.json"
    bless(result, path)
    return path


def test_a_result_passes_against_itself(result, baseline):
    report = check(result, baseline)
    assert report.passed
    assert report.baseline == "baseline.json"
    assert len(read_baseline(baseline).thresholds) == 2 * 1 + 2 * 15 + 2 * 3 * 17
    assert not any(claim.verdict == "lost" for claim in report.claims)


def test_a_threshold_that_cannot_fail_is_not_counted(result, baseline):
    """All edits under all attacks are in the manifold of the originals' edits: nothing could be worse."""
    recorded = {(entry.attack, entry.editor, entry.metric): entry for entry in read_baseline(baseline).thresholds}
    counted = {(outcome.attack, outcome.editor, outcome.metric) for outcome in check(result, baseline).thresholds}
    left_out = {key: recorded[key] for key in set(recorded) - counted}
    assert ("encoder", "inpaint", "precision") in left_out
    assert ("noise", "inpaint", "precision") in counted
    assert {entry.side for entry in left_out.values()} == {"above"}
    assert not {entry.metric for entry in left_out.values()} & {"fid", "kid", "psnr", "vifp", "gmsd", "region_psnr"}
    assert all(entry.value + entry.tolerance >= 1 for entry in left_out.values())


def test_changed_settings_are_not_compared_with_the_preset_nor_blessed_as_it(result, monkeypatch, tmp_path):
    monkeypatch.setattr("photoguard_eval.resources.baselines_folder", lambda: tmp_path)
    bless(result)
    assert check(result).thresholds
    changed = result.model_copy(update={"changed_settings": ("guidance_scale",)})
    assert check(changed).thresholds == ()
    with pytest.raises(BaselineError, match="changed guidance_scale, so it is no baseline of the preset"):
        bless(changed)
    bless(changed, tmp_path / "mine.json")
    assert check(changed, tmp_path / "mine.json").passed


def test_a_baseline_of_other_settings_is_refused(result, baseline):
    editors = {name: {**settings, "eta": 0.5} for name, settings in result.editors.items()}
    with pytest.raises(BaselineError, match="recorded with another setting of the edits"):
        check(result.model_copy(update={"editors": editors}), baseline)


@pytest.mark.parametrize(
    ("attack", "metric", "shift", "side"),
    [
        ("encoder", "ssim", 0.3, "above"),
        ("encoder", "gmsd", -0.3, "below"),
        ("encoder", "fid", -50, "below"),
        ("diffusion", "clip_similarity", 0.4, "above"),
        ("encoder", "immunized_psnr", -20, "below"),
        ("noise", "ssim", -0.3, "either"),
        ("noise", "ssim", 0.3, "either"),
    ],
)
def test_a_regression_fails_and_says_by_how_much(result, baseline, attack, metric, shift, side):
    report = check(with_shift(result, attack, metric, shift), baseline)
    failed = [outcome for outcome in report.thresholds if not outcome.passed]
    assert not report.passed
    assert {outcome.metric for outcome in failed} == {metric}
    assert {outcome.side for outcome in failed} == {side}
    assert failed[0].measured - failed[0].baseline == pytest.approx(shift, abs=2e-6)
    assert 0 < failed[0].tolerance < abs(shift)
    assert failed[0].reason


@pytest.mark.parametrize(
    ("attack", "metric", "shift"),
    [("encoder", "ssim", -0.3), ("encoder", "gmsd", 0.3), ("encoder", "immunized_psnr", 20)],
)
def test_an_improvement_keeps_the_thresholds(result, baseline, attack, metric, shift):
    report = check(with_shift(result, attack, metric, shift), baseline)
    assert all(outcome.passed for outcome in report.thresholds)


def test_a_change_within_the_tolerance_passes(result, baseline):
    entries = read_baseline(baseline).thresholds
    # Both editors' means are moved, so the narrower tolerance decides.
    tolerance = min(entry.tolerance for entry in entries if (entry.attack, entry.metric) == ("noise", "psnr"))
    assert check(with_shift(result, "noise", "psnr", 0.9 * tolerance), baseline).passed
    assert not check(with_shift(result, "noise", "psnr", 1.1 * tolerance), baseline).passed


def test_margins_have_the_direction_of_the_claim(result):
    claims = {claim.id: claim for claim in evaluate_claims(result)}
    rows = {method.attack.name: method.metrics for method in result.attack_rows if method.editor == "img2img"}
    higher = claims["encoder-beats-noise/ssim/img2img"]
    assert higher.margin == pytest.approx(rows["noise"]["ssim"].mean - rows["encoder"]["ssim"].mean)
    lower = claims["encoder-beats-noise/gmsd/img2img"]
    assert lower.margin == pytest.approx(rows["encoder"]["gmsd"].mean - rows["noise"]["gmsd"].mean)
    assert all(claim.holds == (claim.margin > 0) for claim in claims.values())


def test_similarity_to_the_prompt_is_compared_with_seeds_that_no_search_has_chosen(result):
    """The seeds of the other rows are the best for the originals: against these any edit would seem to fall behind."""
    name = "diffusion-lowers-unselected-prompt-similarity/clip_similarity/img2img"
    (claim,) = (claim for claim in evaluate_claims(result) if claim.id == name)
    reroll, original, diffusion = (
        row.metrics["clip_similarity"].mean
        for row in (result.reroll("img2img"), result.original("img2img"), result.row("diffusion", "img2img"))
    )
    assert claim.margin == pytest.approx(reroll - diffusion)
    assert abs(reroll - original) > 1e-4
    assert "with another seed" in claim.statement
    before = result.replaced(rerolls=())
    assert {claim.id for claim in evaluate_claims(result)} - {claim.id for claim in evaluate_claims(before)} == {
        name,
        name.replace("img2img", "inpaint"),
    }


def test_budgets_that_differ_by_rounding_are_one(result):
    def compared(epsilon):
        return len(evaluate_claims(with_epsilon(result, ["noise"], epsilon)))

    assert compared(0.0627450980) == len(evaluate_claims(result))
    assert compared(0.06275) < len(evaluate_claims(result))


def test_every_similarity_metric_of_the_paper_has_its_claims(result):
    ids = {claim.id for claim in evaluate_claims(result)}
    for metric in ["ssim", "psnr", "vifp", "fsim", "sr_sim", "gmsd", "vsi", "dss", "haarpsi", "fid"]:
        for claim in ("encoder-beats-noise", "diffusion-beats-noise", "diffusion-beats-encoder"):
            assert {f"{claim}/{metric}/{editor}" for editor in ("inpaint", "img2img")} <= ids


def test_a_claim_that_held_and_no_longer_does_is_lost(result, baseline):
    held = next(claim for claim in check(result, baseline).claims if claim.id == "encoder-beats-noise/ssim/img2img")
    assert held.verdict == "holds"
    report = check(with_shift(result, "encoder", "ssim", held.margin + 0.001), baseline)
    lost = [claim.id for claim in report.claims if claim.verdict == "lost"]
    assert "encoder-beats-noise/ssim/img2img" in lost
    assert not report.passed


def test_a_claim_that_never_held_is_not_reproduced_and_does_not_fail(result, tmp_path):
    moved = with_shift(result, "encoder", "ssim", 0.5)
    bless(moved, tmp_path / "baseline.json")
    report = check(moved, tmp_path / "baseline.json")
    claim = next(claim for claim in report.claims if claim.id == "encoder-beats-noise/ssim/img2img")
    assert claim.verdict == "not reproduced"
    assert report.passed
    again = next(
        claim
        for claim in check(result, tmp_path / "baseline.json").claims
        if claim.id == "encoder-beats-noise/ssim/img2img"
    )
    assert again.verdict == "gained"


def in_the_paper_s_setting(result):
    data = result.model_dump()
    data["preset"], data["model"]["name"] = "paper", "stable-diffusion-v1-5/stable-diffusion-inpainting"
    return EvaluationResult.model_validate(data)


def test_the_paper_s_own_setting_must_show_the_paper_s_order(result):
    """The stand-in's figures, under the name of the paper's model."""
    moved = with_shift(in_the_paper_s_setting(result), "encoder", "ssim", 0.5)
    report = check(moved)
    verdicts = {claim.id: claim.verdict for claim in report.claims}
    assert verdicts["encoder-beats-noise/ssim/inpaint"] == "refuted"
    assert not report.passed
    # The paper has no figures of variations, and none of recall.
    assert verdicts["encoder-beats-noise/ssim/img2img"] == "not reproduced"
    assert not any(claim.required for claim in report.claims if claim.metric == "recall")
    assert all(claim.required for claim in report.claims if claim.id.endswith(("psnr/inpaint", "similarity/inpaint")))


def test_set_metrics_of_other_features_are_none_that_the_paper_printed(result):
    moved = in_the_paper_s_setting(result)
    assert {metric.extractor.split()[0] for metric in moved.metrics if metric.kind == "distribution"} == {"embedded"}
    assert not any(claim.required for claim in evaluate_claims(moved) if claim.metric in ("fid", "precision"))
    metrics = [
        metric.model_copy(update={"extractor": metric.extractor and "inception-v3 6726825d"})
        for metric in moved.metrics
    ]
    claims = evaluate_claims(moved.model_copy(update={"metrics": tuple(metrics)}))
    required = {claim.metric for claim in claims if claim.required}
    assert {"fid", "precision"} < required


def test_what_may_be_chance_refutes_nothing(result):
    name = "encoder-beats-noise/ssim/inpaint"
    paper = in_the_paper_s_setting(result)
    claim = next(claim for claim in evaluate_claims(paper) if claim.id == name)
    for excess, verdict in ((0.0, "not reproduced"), (0.9, "not reproduced"), (1.1, "refuted")):
        moved = with_shift(paper, "encoder", "ssim", claim.margin + excess * claim.standard_error)
        assert next(claim for claim in evaluate_claims(moved) if claim.id == name).verdict == verdict


def with_epsilon(result, attacks, epsilon):
    """Return the result as if attacks had been given another budget."""
    data = result.model_dump()
    for method in attacks_of(data):
        if method["attack"]["name"] in attacks:
            method["attack"]["threat_model"]["epsilon"] = epsilon
    return EvaluationResult.model_validate(data)


def test_attacks_are_compared_at_one_budget(result):
    def compared(result):
        return {claim.id.partition("/")[0] for claim in evaluate_claims(result)}

    assert compared(with_epsilon(result, ["noise"], 0.01)) == {
        "diffusion-beats-encoder",
        "diffusion-lowers-unselected-prompt-similarity",
    }
    everything = {claim.id for claim in evaluate_claims(result)}
    smaller = with_epsilon(result, ["noise", "encoder", "diffusion"], 0.01)
    assert {claim.id for claim in evaluate_claims(smaller)} == everything
    # Of two rows of an attack the one with the partner's budget counts.
    both = result.replaced(attack_rows=(*with_epsilon(result, ["noise"], 0.01).attack_rows[:2], *result.attack_rows))
    assert [claim.margin for claim in evaluate_claims(both)] == [claim.margin for claim in evaluate_claims(result)]


def test_other_arguments_than_the_preset_s_neither_lose_a_claim_nor_record_one(result, baseline):
    smaller = with_epsilon(result, ["noise", "encoder", "diffusion"], 0.01)
    worse = with_shift(smaller, "encoder", "ssim", 1.0)
    claims = {claim.id: claim for claim in check(worse, baseline).claims}
    assert claims["encoder-beats-noise/ssim/img2img"].verdict == "not reproduced"
    assert not any(claim.required for claim in evaluate_claims(in_the_paper_s_setting(worse)))
    recorded = read_baseline(baseline).claims
    bless(worse, baseline)
    assert read_baseline(baseline).claims == recorded


@pytest.mark.parametrize("change", [{"preset": "ci"}, {"model": "inpaint-a"}])
def test_other_settings_need_not(result, change):
    moved = with_shift(in_the_paper_s_setting(result), "encoder", "ssim", 0.5).model_dump()
    moved["preset"] = change.get("preset", moved["preset"])
    moved["model"]["name"] = change.get("model", moved["model"]["name"])
    assert not any(claim.required for claim in evaluate_claims(EvaluationResult.model_validate(moved)))


def test_without_a_baseline_every_claim_is_shown_and_nothing_fails(result):
    assert find_baseline(result) is None
    report = check(result)
    assert report.baseline == ""
    assert len(report.claims) == 2 * (3 * 12 + 1)
    assert {claim.verdict for claim in report.claims} <= {"holds", "not reproduced"}


def test_a_stopped_attack_fails_the_gate_and_is_no_baseline(result, baseline):
    failed = result.model_copy(update={"failures": (FailedAttack(attack="bad", editor="inpaint", error="over"),)})
    assert not check(failed, baseline).passed
    with pytest.raises(BaselineError, match="bad did not finish"):
        bless(failed, baseline)


def test_blessing_says_what_changed(result, baseline):
    again = bless(result, baseline)
    assert (again.path, again.changes) == (baseline, ())
    assert again.lines == (f"Blessed: no value changed in {baseline}.",)
    changes = bless(with_shift(result, "encoder", "ssim", -0.1), baseline).changes
    assert len([line for line in changes if line.startswith("encoder / inpaint / ssim: ")]) == 1
    assert all("→" in line for line in changes)


def test_blessing_some_attacks_keeps_the_rows_of_the_others(result, baseline):
    only_noise = result.replaced(
        attack_rows=tuple(method for method in result.attack_rows if method.attack.name == "noise")
    )
    assert bless(only_noise, baseline).changes == ()
    assert check(result, baseline).passed
    assert {entry.attack for entry in read_baseline(baseline).thresholds} >= {"noise", "encoder", "original"}


def test_an_attack_that_the_baseline_does_not_know_is_not_compared(result, tmp_path):
    only_noise = result.replaced(
        attack_rows=tuple(method for method in result.attack_rows if method.attack.name == "noise")
    )
    bless(only_noise, tmp_path / "baseline.json")
    report = check(result, tmp_path / "baseline.json")
    assert {outcome.attack for outcome in report.thresholds} == {"original", "re-roll", "noise"}


def damage(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def drop_metric(data):
    data["thresholds"] = [entry for entry in data["thresholds"] if entry["metric"] != "vsi"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_metric, "no value of the metric 'vsi' for re-roll under inpaint"),
        (lambda data: data.update(schema_version=7), "baseline schema 7"),
        (lambda data: data.update(extra=1), "is no baseline: extra"),
        (lambda data: data["conditions"].update(weights_sha256="0"), "recorded with another weights"),
        (lambda data: data["conditions"].update(preset="paper"), "recorded with another preset"),
        (lambda data: data["conditions"].update(dataset_sha256="0"), "another dataset's content"),
        (
            lambda data: data["conditions"]["extractors"].update(fid="inception-v3"),
            r"another feature extractor: \{'fid': 'inception-v3'\}, this run has \{'fid': 'embedded",
        ),
        (
            lambda data: data["conditions"].update(attack_seed=1),
            "recorded with another seed of the attacks: 1, this run has 0",
        ),
        (
            lambda data: data["conditions"]["edit_seeds"].update(img2img=[0, 7, 8]),
            r"another seed of the edits under img2img, in 2 of 3 cases: 7 for dog-in-a-meadow-1, this run has 1\.",
        ),
        (lambda data: data["conditions"]["cases"].reverse(), "recorded with another choice of cases"),
    ],
)
def test_a_baseline_that_does_not_fit_is_an_error(result, baseline, change, message):
    damage(baseline, change)
    with pytest.raises(BaselineError, match=message):
        check(result, baseline)


def test_a_baseline_that_is_asked_for_must_exist(result, tmp_path):
    with pytest.raises(BaselineError, match="Record one with --bless"):
        check(result, tmp_path / "none.json")


def test_a_baseline_that_is_no_json_is_an_error(result, tmp_path):
    (tmp_path / "baseline.json").write_text("{")
    with pytest.raises(BaselineError, match="cannot be read"):
        check(result, tmp_path / "baseline.json")


def test_a_metric_that_is_no_longer_measured_is_an_error(result, baseline):
    data = result.model_dump()
    data["metrics"] = [metric for metric in data["metrics"] if metric["name"] != "ssim"]
    for method in data["rows"]:
        method["metrics"].pop("ssim", None)
        for case in method["cases"]:
            case["scores"].pop("ssim", None)
    with pytest.raises(BaselineError, match="has values of ssim for re-roll under inpaint, which this run did not"):
        check(EvaluationResult.model_validate(data), baseline)


def test_a_claim_on_the_edge_is_not_recorded_as_held(result):
    claims = {claim.id: claim for claim in evaluate_claims(result)}
    recorded = make_baseline(result).claims
    for name, claim in claims.items():
        assert recorded[name] == (claim.margin > claim.uncertainty)
    assert any(recorded.values())
    fid = claims["encoder-beats-noise/fid/img2img"]
    values = [result.row(attack, "img2img").metrics["fid"].mean for attack in ("noise", "encoder")]
    assert fid.standard_error is None
    assert fid.uncertainty == pytest.approx(sum(max(0.1 * value, 0.02) for value in values))
    assert (
        claims["encoder-beats-noise/ssim/img2img"].uncertainty
        == claims["encoder-beats-noise/ssim/img2img"].standard_error
    )
    edge = claims["encoder-beats-noise/ssim/img2img"]
    moved = with_shift(result, "encoder", "ssim", edge.margin - 1e-9)
    assert not make_baseline(moved).claims["encoder-beats-noise/ssim/img2img"]


def outcome_of(report, attack, editor, metric):
    found = (
        entry for entry in report.thresholds if (entry.attack, entry.editor, entry.metric) == (attack, editor, metric)
    )
    return next(found)


def moved_by(result, attack, editor, metric, shifts):
    """Return the result with the scores of one row moved, each case by its own."""
    data = result.model_dump()
    for method in attacks_of(data):
        if (method["attack"]["name"], method["editor"]) == (attack, editor):
            for case, shift in zip(method["cases"], shifts, strict=True):
                case["scores"][metric] += shift
            method["metrics"][metric]["mean"] += sum(shifts) / len(shifts)
    return EvaluationResult.model_validate(data)


def test_a_small_loss_spread_over_the_cases_fails(result, tmp_path):
    """The cases differ far more from one another, which is no reason to overlook a loss of the same cases."""
    row = ("encoder", "img2img", "ssim")
    wide = moved_by(result, *row, (-0.6, -0.3, 0.0))
    bless(wide, tmp_path / "baseline.json")

    def outcome(*shifts):
        return outcome_of(check(moved_by(wide, *row, shifts), tmp_path / "baseline.json"), *row)

    assert not outcome(0.02, 0.03, 0.01).passed
    assert outcome(0.02, 0.03, 0.01).cases_text == "3 of 3 cases by more, most dog-in-a-meadow-1 (+0.030)"
    assert outcome(0.004, 0.004, 0.004).passed
    assert outcome(0.03, -0.04, 0.01).passed, "what moves to both sides is rounding"


def test_a_failure_names_the_case_that_moved_most(result, baseline):
    moved = moved_by(result, "encoder", "inpaint", "ssim", (-0.05, 0.3, 0.004))
    outcome = outcome_of(check(moved, baseline), "encoder", "inpaint", "ssim")
    assert not outcome.passed
    assert outcome.cases_text == "1 of 3 cases by more, most dog-in-a-meadow-1 (+0.300)"


@pytest.mark.parametrize(("attack", "share", "side"), [("noise", 0.01, "either"), ("encoder", 0.005, "above")])
def test_tolerances_are_shares_of_the_metric_s_scale(result, attack, share, side):
    entries = [entry for entry in make_baseline(result).thresholds if entry.attack == attack]
    found = {entry.metric: (entry.tolerance, entry.side) for entry in entries if entry.editor == "img2img"}
    for name, scale in (("ssim", 1), ("psnr", METRICS.find("psnr").scale), ("clip_similarity", 1)):
        assert found[name] == (pytest.approx(share * scale), side)
    assert METRICS.find("psnr").scale == METRICS.find("region_psnr").scale > 1
    assert found["fid"][0] == pytest.approx(0.1 * result.row(attack, "img2img").metrics["fid"].mean, abs=0.02)


def test_edits_of_originals_with_another_seed_are_a_floor(result, baseline):
    for shift, passed in ((-0.011, False), (-0.009, True), (0.009, True), (0.011, False)):
        data = result.model_dump()
        for case in rows_of(data, "re-roll")[0]["cases"]:
            case["scores"]["ssim"] += shift
        report = check(EvaluationResult.model_validate(data), baseline)
        assert outcome_of(report, "re-roll", "inpaint", "ssim").passed == passed


def test_edits_of_originals_are_a_floor(result, baseline):
    for shift, passed in ((0.009, True), (0.011, False), (-0.011, False)):
        data = result.model_dump()
        for case in rows_of(data, "own")[0]["cases"]:
            case["scores"]["clip_similarity"] += shift
        report = check(EvaluationResult.model_validate(data), baseline)
        assert outcome_of(report, "original", "inpaint", "clip_similarity").passed == passed


def with_plugin_metric(result, name="mine", source="mymetrics 1.0", extractor=""):
    """Return a result with a metric of another package, which is 0.5 everywhere."""
    data = result.model_dump()
    like = next(metric for metric in data["metrics"] if metric["name"] == "vsi")
    more = {"name": name, "label": name.upper(), "plugin": source, "extractor": extractor}
    data["metrics"] = [*data["metrics"], {**like, **more}]
    for method in attacks_of(data):
        method["metrics"][name] = summarize([0.5] * method["n"]).model_dump()
        for case in method["cases"]:
            case["scores"][name] = 0.5
    return EvaluationResult.model_validate(data)


def test_a_metric_of_another_package_is_shown_and_not_gated(result, baseline):
    plain = check(result, baseline)
    report = check(with_plugin_metric(result, extractor="mine too"), baseline)
    assert report.passed
    assert report.ungated_metrics == ("MINE",)
    assert report.thresholds == plain.thresholds
    assert "Not in the baseline, so shown and not gated: the metric MINE." in verdict_of(summarize_gate(report)).details
    assert plain.ungated_metrics == plain.ungated_attacks == ()


def test_a_user_s_baseline_records_it_with_its_source(result, tmp_path):
    path = tmp_path / "mine.json"
    measured = with_plugin_metric(result)
    assert bless(measured, path).left_out == ()
    assert read_baseline(path).conditions.plugins == {"mine": "mymetrics 1.0"}
    assert {outcome.metric for outcome in check(measured, path).thresholds} > {"mine"}
    with pytest.raises(BaselineError, match=r"has values of mine \(of mymetrics 1\.0\) for noise under inpaint"):
        check(result, path)
    with pytest.raises(BaselineError, match=r"another version of a metric: \{'mine': 'mymetrics 1.0'\}, this run has"):
        check(with_plugin_metric(result, source="mymetrics 2.0"), path)


def test_a_baseline_of_the_package_holds_its_own_metrics_alone(result, monkeypatch, tmp_path):
    monkeypatch.setattr("photoguard_eval.resources.baselines_folder", lambda: tmp_path)
    blessing = bless(with_plugin_metric(result))
    assert blessing.path.parent == tmp_path
    assert blessing.left_out == ("MINE",)
    assert "Left out: MINE." in blessing.lines[-1]
    assert "mine" not in blessing.path.read_text()
    assert not any("/mine/" in claim for claim in read_baseline(blessing.path).claims)
    assert check(result).passed


def test_a_damaged_baseline_can_be_recorded_anew(result, baseline):
    baseline.write_text("{")
    blessing = bless(result, baseline)
    assert "cannot be read" in blessing.replaced
    assert "The earlier file was replaced: " in blessing.lines[-1]
    assert check(result, baseline).passed


def test_a_run_that_cannot_be_compared_is_shown_all_the_same(result, monkeypatch, tmp_path):
    monkeypatch.setattr("photoguard_eval.resources.baselines_folder", lambda: tmp_path)
    bless(result)
    provenance = result.provenance.model_copy(update={"seed": 1})
    other = result.model_copy(update={"provenance": provenance})
    report = check_if_comparable(other)
    assert report.thresholds == ()
    assert {claim.verdict for claim in report.claims} <= {"holds", "not reproduced"}
    headline = verdict_of(summarize_gate(report)).headline
    assert headline.startswith("The gate compared nothing. ")
    assert "another seed of the attacks: 0, this run has 1." in headline
    assert check_if_comparable(result).thresholds


def test_rows_of_one_attack_at_two_budgets_are_gated_each_by_its_own(result, tmp_path):
    """What was recorded at the paper's budget says nothing of a smaller one, which weakens every attack."""
    smaller = with_epsilon(result, ["noise", "encoder", "diffusion"], 0.01)
    both = result.replaced(attack_rows=(*result.attack_rows, *smaller.attack_rows))
    path = tmp_path / "baseline.json"
    bless(result, path)
    report = check(both, path)
    assert report.passed
    assert len(report.thresholds) == len(check(result, path).thresholds)
    assert "noise at 2.55/255" in report.ungated_attacks
    assert "noise" not in report.ungated_attacks
    bless(both, path)
    names = {entry.attack for entry in read_baseline(path).thresholds}
    assert {"noise", "noise at 2.55/255"} <= names
    assert not check(both, path).ungated_attacks
    assert {outcome.attack for outcome in check(both, path).thresholds} <= names
