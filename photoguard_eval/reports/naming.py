"""How reports call methods, editors and files, and how they print numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from photoguard_eval.diffusion import EDITORS
from photoguard_eval.errors import PhotoguardError
from photoguard_eval.results.facts import MetricInfo, ThreatModelInfo, budget_levels
from photoguard_eval.results.rows import MethodResult, Summary
from photoguard_eval.results.schema import EvaluationResult

if TYPE_CHECKING:
    from photoguard_eval.attacks import ThreatModel

TABLE_6 = ("fid", "precision", "recall", "ssim", "psnr", "vifp", "fsim")
TABLE_10 = ("sr_sim", "gmsd", "vsi", "dss", "haarpsi")
"""The metrics of the paper's tables."""

NO_IMMUNIZATION = "No immunization"
REROLL_TITLE = "Re-roll"
NOTE_REROLL = f"{REROLL_TITLE}: the unprotected image edited with another seed: how far chance alone moves an edit."

PROTECTION = "ssim"
"""The metric by which a size of protection is said where one must do."""

MISSING = "–"

_PAPER_TITLE = re.compile(r"^Immunization(?: baseline)? \(([^()]*)\)(.*)$", re.DOTALL)
_DECIMALS = ((100.0, 1), (10.0, 2), (0.1, 3), (0.01, 4))


@dataclass(frozen=True)
class EditorText:
    """An editor in words.

    Attributes:
        title: Heading.
        explanation: What it does to an image, one sentence.
        uses_mask: Whether the mask has a part in it.
    """

    title: str
    explanation: str
    uses_mask: bool


@lru_cache  # A result names few editors; to look for one that is not installed takes as long as to read a table.
def editor_text(name: str) -> EditorText:
    """Describe an editor in its own words, or by its name where it is not installed or says nothing.

    Args:
        name: Of the editor, from a result; one that spells a module or file, as no editor's name does, is not imported.
    """
    try:
        editor = None if ":" in name else EDITORS.find(name)
    except PhotoguardError:
        editor = None
    explanation = f"Edited by the editor {name}."
    if editor is None:
        return EditorText(name, explanation, True)
    return EditorText(editor.title or name, editor.explanation or explanation, editor.reads_mask)


def budget_text(threat_model: ThreatModel | ThreatModelInfo) -> str:
    """Return norm and bound, in levels of 255; equal for budgets that differ by rounding alone."""
    norm = "ℓ∞" if threat_model.norm == "linf" else "ℓ2"
    return f"{norm} {levels_text(budget_levels(threat_model.epsilon))}/255"


def levels_text(levels: float) -> str:
    """Print levels of 255 with as many decimals as they have, at most three."""
    return f"{levels:.6g}"


def knowledge_text(threat_model: ThreatModel | ThreatModelInfo) -> str:
    """Return what an attack may see."""
    seen = {"model": threat_model.sees_model, "mask": threat_model.sees_mask, "prompt": threat_model.sees_prompt}
    return ", ".join(name for name, sees in seen.items() if sees) or "nothing"


def editor_methods(result: EvaluationResult, editor: str) -> tuple[MethodResult, ...]:
    """Return the rows of an editor's attacks in the order of the result."""
    return tuple(method for method in result.methods if method.editor == editor)


def with_reroll(result: EvaluationResult, editor: str) -> tuple[MethodResult, ...]:
    """Return the rows whose edits are compared with those of the originals: a re-roll, if there is one, and attacks."""
    reroll = result.reroll(editor)
    return (() if reroll is None else (reroll,)) + editor_methods(result, editor)


def with_references(result: EvaluationResult, editor: str) -> tuple[MethodResult, ...]:
    """Return all rows of an editor, those of unprotected images first."""
    original = result.original(editor)
    return (() if original is None else (original,)) + with_reroll(result, editor)


def reroll_notes(methods: Sequence[MethodResult]) -> list[str]:
    """Say what a re-roll is, where rows have one."""
    return [NOTE_REROLL] if any(method.rerolled for method in methods) else []


def method_label(method: MethodResult) -> str:
    """Return the label of a row's attack, or the title of a row of unprotected images."""
    return method.attack.label if method.attack else _title(method)


def _title(method: MethodResult) -> str:
    if method.attack is not None:
        return method.attack.title
    return REROLL_TITLE if method.rerolled else NO_IMMUNIZATION


def method_titles(methods: Sequence[MethodResult]) -> tuple[str, ...]:
    """Name rows as the paper does; titles that occur twice get the attack's label behind them."""
    titles = [_title(method) for method in methods]
    counts = Counter(titles)
    return tuple(
        title if counts[title] == 1 else f"{title} [{method_label(method)}]"
        for title, method in zip(titles, methods, strict=True)
    )


def short_title(title: str) -> str:
    """Shorten the paper's form of a title for figures: "Immunization (Encoder attack)" is "Encoder attack"."""
    found = _PAPER_TITLE.match(title)
    return found.group(1) + found.group(2) if found else title


def levels_of(method: MethodResult) -> float:
    """Return the budget of a row's attack, in levels of 255; 0 for unprotected images."""
    return budget_levels(method.attack.threat_model.epsilon) if method.attack else 0.0


def label_without_budget(method: MethodResult) -> str:
    """Return what the rows of attacks with the same arguments but for ε share, the norm included."""
    norm = method.attack.threat_model.norm if method.attack else ""
    return f"{without_epsilon(method_label(method))} {norm}"


def with_largest_budgets(methods: Sequence[MethodResult]) -> tuple[MethodResult, ...]:
    """Leave out the rows of an attack that is there with a larger ε, too."""
    largest: dict[str, float] = {}
    for method in methods:
        name = label_without_budget(method)
        largest[name] = max(largest.get(name, 0.0), levels_of(method))
    return tuple(method for method in methods if levels_of(method) == largest[label_without_budget(method)])


def without_epsilon(text: str) -> str:
    """Leave ε out of a label, or of a title with one."""
    return re.sub(r",(?:budget|epsilon)=[^,;)\]]*", "", text)


def column_label(metric: MetricInfo) -> str:
    """Return a metric's label with the paper's arrow, which points to increasing image similarity."""
    return f"{metric.label} {'↑' if metric.higher_is_more_similar else '↓'}"


def decimals_for(values: Sequence[float]) -> int:
    """Choose how many decimals a column is printed with, from its largest value: three or four digits of it."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest == 0:
        return 3
    return next((decimals for bound, decimals in _DECIMALS if largest >= bound), 5)


def number(value: float, decimals: int, signed: bool = False) -> str:
    """Print a number with a fixed count of decimals and a real minus sign."""
    rounded = round(value, decimals) or 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{decimals}f}".replace("-", "−")


def mean_and_std(summary: Summary, decimals: int) -> str:
    """Print "mean ± std", or the mean alone for a set metric."""
    mean = number(summary.mean, decimals)
    return mean if summary.std is None else f"{mean} ± {number(summary.std, decimals)}"


def file_stem(result: EvaluationResult) -> str:
    """Return the name that the files of a result's report share: model, dataset and preset."""
    name = "-".join([result.model.name, result.dataset.name, result.preset]).replace("/", "--")
    return re.sub(r"[^\w.-]", "_", name).lstrip(".-")
