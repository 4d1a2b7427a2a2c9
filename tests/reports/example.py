"""A small made-up result: four cases of two images, three attacks, two editors. No model is needed for it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from photoguard_eval.analysis.board import make_board
from photoguard_eval.analysis.ranking import rank
from photoguard_eval.reports import views
from photoguard_eval.reports.cells import Table
from photoguard_eval.reports.render import page
from photoguard_eval.reports.views import editors, ranking
from photoguard_eval.reports.views.subject import Subject, subject_of
from photoguard_eval.results.facts import (
    AttackInfo,
    CaseInfo,
    DatasetInfo,
    MetricInfo,
    ModelInfo,
    Provenance,
    ThreatModelInfo,
)
from photoguard_eval.results.outcomes import ClaimOutcome, GateReport, ThresholdOutcome
from photoguard_eval.results.rows import CaseResult, Cost, ResultRow, Summary
from photoguard_eval.results.schema import EvaluationResult
from photoguard_eval.results.summaries import summarize

EDITORS = ("inpaint", "img2img")
MODEL = "maker/model"
ATTACKS = ("noise", "encoder", "diffusion")
TITLES = {
    "noise": "Immunization baseline (Random noise)",
    "encoder": "Immunization (Encoder attack)",
    "diffusion": "Immunization (Diffusion attack)",
}
HOSTILE_PROMPT = "<script>alert('x')</script> & a \"dog\" at sea"
PROMPTS = ("a cat on a beach", "a cat in the snow", HOSTILE_PROMPT, "a dog in a forest")
IMAGES = ("cat", "cat", "dog", "dog")

# Mean over the cases by editor and attack; "" is the original. In img2img the noise floor is best by SSIM.
CASE_MEANS = {
    "ssim": {"inpaint": (0.9, 0.6, 0.4), "img2img": (0.3, 0.6, 0.4)},
    "psnr": {"inpaint": (30.0, 20.0, 15.0), "img2img": (30.0, 20.0, 15.0)},
    "vifp": {"inpaint": (0.8, 0.5, 0.3), "img2img": (0.8, 0.5, 0.3)},
    "fsim": {"inpaint": (0.8, 0.7, 0.6), "img2img": (0.8, 0.7, 0.6)},
    "sr_sim": {"inpaint": (0.9, 0.8, 0.7), "img2img": (0.9, 0.8, 0.7)},
    "gmsd": {"inpaint": (0.1, 0.2, 0.3), "img2img": (0.1, 0.2, 0.3)},
    "vsi": {"inpaint": (0.95, 0.9, 0.8), "img2img": (0.95, 0.9, 0.8)},
    "dss": {"inpaint": (0.5, 0.3, 0.2), "img2img": (0.5, 0.3, 0.2)},
    "haarpsi": {"inpaint": (0.6, 0.4, 0.3), "img2img": (0.6, 0.4, 0.3)},
    "region_ssim": {"inpaint": (0.85, 0.55, 0.35), "img2img": (0.85, 0.55, 0.35)},
    "immunized_ssim": {"inpaint": (0.97, 0.98, 0.95), "img2img": (0.97, 0.98, 0.95)},
    "clip_similarity": {"inpaint": (0.31, 0.25, 0.2), "img2img": (0.31, 0.25, 0.29)},
}
SET_VALUES = {"fid": (12.5, 101.25, 150.5), "precision": (1.0, 0.75, 0.5), "recall": (1.0, 1.0, 1.0), "kid": (0, 1, 2)}
ORIGINAL_CLIP = {"inpaint": 0.32, "img2img": 0.22}
CASE_OFFSETS = (-0.02, -0.01, 0.0, 0.03)


def metric(name: str, label: str, table: str = "", *, higher: bool = True, kind: str = "pairwise") -> MetricInfo:
    extractor = {"distribution": "test features 0123abcd", "prompt": "test clip 89ef"}.get(kind, "")
    return MetricInfo(
        name=name,
        label=label,
        kind=kind,
        subject="immunized" if name.startswith("immunized") else "edit",
        higher_is_more_similar=higher,
        source=f"source of {label}",
        extractor=extractor,
        table=table,
    )


METRICS = (
    metric("fid", "FID", "6", higher=False, kind="distribution"),
    metric("precision", "Precision", "6", kind="distribution"),
    metric("recall", "Recall", "6", kind="distribution"),
    metric("ssim", "SSIM", "6"),
    metric("psnr", "PSNR", "6"),
    metric("vifp", "VIFp", "6"),
    metric("fsim", "FSIM", "6"),
    metric("sr_sim", "SR-SIM", "10"),
    metric("gmsd", "GMSD", "10", higher=False),
    metric("vsi", "VSI", "10"),
    metric("dss", "DSS", "10"),
    metric("haarpsi", "HaarPSI", "10"),
    metric("clip_similarity", "CLIP similarity", "figure 7", kind="prompt"),
    metric("kid", "KID", higher=False, kind="distribution"),
    metric("region_ssim", "SSIM of region"),
    metric("immunized_ssim", "SSIM of immunized"),
)


def attack_info(name: str, label: str | None = None) -> AttackInfo:
    return AttackInfo(
        name=name,
        label=label or name,
        title=TITLES[name],
        paper="Salman et al. 2023",
        arguments={"epsilon": 16 / 255},
        source="photoguard_eval",
        fingerprint="f" * 64,
        threat_model=ThreatModelInfo(
            norm="linf", epsilon=16 / 255, sees_model=name != "noise", sees_mask=True, sees_prompt=False
        ),
    )


def method_result(name: str, editor: str) -> ResultRow:
    column = ATTACKS.index(name)
    scores = [
        {metric: means[editor][column] + offset for metric, means in CASE_MEANS.items()} for offset in CASE_OFFSETS
    ]
    metrics = {metric: summarize([case[metric] for case in scores]) for metric in CASE_MEANS}
    metrics |= {metric: Summary(mean=values[column]) for metric, values in SET_VALUES.items()}
    cases = tuple(
        CaseResult(
            case_id=f"{IMAGES[index]}-{index}",
            immunized=f"{name}-{editor}-{IMAGES[index]}",
            edit=f"{name}-{editor}-edit-{index}",
            linf_levels=16.0,
            rms_levels=8.5,
            scores=case,
        )
        for index, case in enumerate(scores)
    )
    cost = Cost(
        seconds=2.5, gradient_evaluations=200, unet_calls=800, encoder_calls=201, peak_memory_mib=512.4, batch_size=2
    )
    return ResultRow(attack=attack_info(name), editor=editor, model=MODEL, n=4, metrics=metrics, cases=cases, cost=cost)


def original_result(editor: str) -> ResultRow:
    scores = [{"clip_similarity": ORIGINAL_CLIP[editor] + offset} for offset in CASE_OFFSETS]
    cases = tuple(
        CaseResult(
            case_id=f"{IMAGES[index]}-{index}",
            immunized="",
            edit=f"original-{editor}-edit-{index}",
            linf_levels=0.0,
            rms_levels=0.0,
            scores=case,
        )
        for index, case in enumerate(scores)
    )
    summary = summarize([case["clip_similarity"] for case in scores])
    return ResultRow(attack=None, editor=editor, model=MODEL, n=4, metrics={"clip_similarity": summary}, cases=cases)


def make_result(started: str = "2030-01-02T03:04:05+00:00") -> EvaluationResult:
    return EvaluationResult(
        id="1234" * 16,
        preset="ci",
        model=ModelInfo(
            name=MODEL,
            revision="",
            weights_sha256="a" * 64,
            kind="inpainting",
            dtype="float32",
            device="cpu",
        ),
        dataset=DatasetInfo(name="scenes", sha256="b" * 64, n=4, seeds="the metadata's"),
        editors={"inpaint": {"guidance_scale": 7.5}, "img2img": {"guidance_scale": 7.5, "strength": 0.6}},
        metrics=METRICS,
        cases=tuple(
            CaseInfo(
                id=f"{IMAGES[index]}-{index}",
                image_id=IMAGES[index],
                prompt=prompt,
                seed={"inpaint": 10 + index, "img2img": 20 + index},
                image=f"images/{IMAGES[index]}.png",
                mask=f"masks/{IMAGES[index]}.png",
            )
            for index, prompt in enumerate(PROMPTS)
        ),
        rows=(
            *(original_result(editor) for editor in EDITORS),
            *(method_result(name, editor) for editor in EDITORS for name in ATTACKS),
        ),
        provenance=Provenance(
            package_version="9.8.7",
            libraries={"numpy": "2.0"},
            python="3.11",
            platform="Linux",
            threads=2,
            seed=0,
            batch_size=4,
            started=started,
            seconds=61.0,
            command="photoguard-eval run --preset ci",
        ),
    )


# Mean over the cases by editor: in inpainting further away than the encoder attack, in variations nearer.
REROLL_SSIM = {"inpaint": 0.5, "img2img": 0.1}
REROLL_CLIP = {"inpaint": 0.29, "img2img": 0.21}


def reroll_result(editor: str) -> ResultRow:
    row = method_result("noise", editor)
    means = {"ssim": REROLL_SSIM[editor], "clip_similarity": REROLL_CLIP[editor]}
    cases = tuple(
        case.model_copy(
            update={
                "immunized": "",
                "edit": f"reroll-{editor}-edit-{index}",
                "linf_levels": 0.0,
                "scores": {name: mean + CASE_OFFSETS[index] for name, mean in means.items()},
            }
        )
        for index, case in enumerate(row.cases)
    )
    metrics = {name: summarize([case.scores[name] for case in cases]) for name in means}
    return ResultRow(attack=None, editor=editor, model=MODEL, seeds="re-roll", n=4, metrics=metrics, cases=cases)


def with_rerolls(result: EvaluationResult) -> EvaluationResult:
    """Add the rows of unprotected images that were edited with another seed, which earlier results lack."""
    cases = tuple(case.model_copy(update={"reroll_seed": dict.fromkeys(EDITORS, 77)}) for case in result.cases)
    return result.replaced(rerolls=tuple(map(reroll_result, EDITORS)), cases=cases)


def claim(
    name: str, metric: str, editor: str, margin: float, error: float | None = 0.01, held: bool | None = None
) -> ClaimOutcome:
    return ClaimOutcome(
        id=f"{name}/{metric}/{editor}",
        statement=f"Statement of {name}",
        editor=editor,
        metric=metric,
        margin=margin,
        standard_error=error,
        uncertainty=0.02 if error is None else error,
        holds=margin > 0,
        held_in_baseline=held,
    )


def threshold(*, passed: bool) -> ThresholdOutcome:
    return ThresholdOutcome(
        attack="diffusion",
        editor="inpaint",
        metric="ssim",
        baseline=0.3,
        measured=0.3 if passed else 0.4,
        tolerance=0.05,
        side="above",
        passed=passed,
        reason="a reason",
    )


def make_gate(*, thresholds: tuple[ThresholdOutcome, ...] = (), baseline: str = "") -> GateReport:
    claims = (
        claim("encoder-beats-noise", "ssim", "inpaint", 0.3),
        claim("encoder-beats-noise", "fid", "inpaint", 88.75, error=None),
        claim("encoder-beats-noise", "ssim", "img2img", -0.3),
        claim("diffusion-lowers-unselected-prompt-similarity", "clip_similarity", "inpaint", 0.12),
    )
    return GateReport(baseline=baseline, claims=claims, thresholds=thresholds)


def png(side: int = 16, seed: int = 0, mode: str = "RGB") -> bytes:
    levels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode(Image.fromarray(levels).convert(mode))


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


class ExampleImages:
    """Pictures of random noise, another for every key, and a record of what was asked for."""

    def __init__(self, side: int = 16) -> None:
        self.side = side
        self.asked: list[str] = []

    def artifact(self, key: str) -> bytes:
        self.asked.append(key)
        return png(self.side, seed=sum(key.encode()))

    def case_image(self, case: CaseInfo) -> bytes:
        return png(self.side, seed=len(case.image_id))

    def case_mask(self, case: CaseInfo) -> bytes:
        return png(self.side, seed=1, mode="L")


def subject(result: EvaluationResult, *, paper_rows: bool = False) -> Subject:
    """Return what views take of a result, with the gate's report and the pictures of the example."""
    return subject_of(result, make_gate(), ExampleImages(), paper_rows=paper_rows)


def editor_tables(result: EvaluationResult, editor: str, *, paper_rows: bool = False) -> tuple[Table, ...]:
    return editors.editor_tables(subject(result, paper_rows=paper_rows), editor)


def ranking_tables(result: EvaluationResult, editor: str) -> tuple[Table, ...]:
    return ranking.ranking_tables(result, rank(result, editor))


def leaderboard_tables(results, shared=None) -> tuple[Table, ...]:
    sections = views.board_sections(make_board(results, shared))
    return tuple(block for section in sections for block in section.blocks)


def render_page(result: EvaluationResult, gate: GateReport, images: ExampleImages) -> str:
    return page.render_document(views.page_document(subject_of(result, gate, images)))
