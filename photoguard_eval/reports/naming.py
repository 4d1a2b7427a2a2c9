"""How reports call rows, editors and files, and how they print numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from photoguard_eval.attacks.norms import NORMS
from photoguard_eval.diffusion import EDITORS
from photoguard_eval.errors import PhotoguardError
from photoguard_eval.results.facts import MetricInfo, ThreatModelInfo, budget_levels
from photoguard_eval.results.rows import Budget, Purification, ResultRow, Summary
from photoguard_eval.results.schema import EvaluationResult

if TYPE_CHECKING:
    from photoguard_eval.attacks import ThreatModel

NO_IMMUNIZATION = "No immunization"
REROLL_TITLE = "Re-roll"
NOTE_REROLL = f"{REROLL_TITLE}: the unprotected image edited with another seed: how far chance alone moves an edit."

NOTE_TRUSTED = (
    "Attacks of others ran in the main process (--trusted), where they can reach the scores. Run without it before you "
    "share this result."
)

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


def budget_text(budget: Budget | ThreatModel | ThreatModelInfo) -> str:
    """Return norm and bound, in levels of 255; equal for budgets that differ by rounding alone."""
    levels = budget.levels if isinstance(budget, Budget) else budget_levels(budget.epsilon)
    return f"{_norm_text(budget)} {levels_text(levels)}/255"


def _norm_text(budget: Budget | ThreatModel | ThreatModelInfo) -> str:
    return NORMS[budget.norm].symbol


def purified_text(purification: Purification) -> str:
    """Return what was done to the images before they were edited."""
    return f"purified by {purification}"


def levels_text(levels: float) -> str:
    """Print levels of 255 with as many decimals as they have, at most three."""
    return f"{levels:.6g}"


def knowledge_text(threat_model: ThreatModel | ThreatModelInfo) -> str:
    """Return what an attack may see."""
    seen = {"model": threat_model.sees_model, "mask": threat_model.sees_mask, "prompt": threat_model.sees_prompt}
    return ", ".join(name for name, sees in seen.items() if sees) or "nothing"


def reroll_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Say what a re-roll is, where there is a row of one."""
    return [NOTE_REROLL] if any(row.rerolled for row in rows) else []


def trusted_notes(result: EvaluationResult) -> list[str]:
    """Say that attacks of others could reach everything, where they could."""
    return [NOTE_TRUSTED] if result.provenance.trusted else []


def row_titles(rows: Sequence[ResultRow]) -> tuple[str, ...]:
    """Name rows as the paper does; behind a title that occurs twice stands what tells its rows apart.

    That is the attack's label, the budget, or both.
    """
    return _told_apart(rows, str)


def attack_titles(rows: Sequence[ResultRow]) -> tuple[str, ...]:
    """Name attacks, each given by one of its rows, as `row_titles` does; the size of the budget has no part in it."""
    return _told_apart(rows, _norm_text)


def _told_apart(rows: Sequence[ResultRow], budget_words: Callable[[Budget], str]) -> tuple[str, ...]:
    namesakes: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        namesakes.setdefault(_title(row), []).append(_marks(row, budget_words))
    titles = []
    for row in rows:
        labels, budgets = map(set, zip(*namesakes[_title(row)], strict=True))
        label, budget = _marks(row, budget_words)
        told = [*([label] if len(labels) > 1 else []), *([budget] if len(budgets) > 1 else [])]
        titles.append(f"{_title(row)} [{', '.join(told)}]" if told and row.attack else _title(row))
    return tuple(titles)


def _marks(row: ResultRow, budget_words: Callable[[Budget], str]) -> tuple[str, str]:
    return row.label, budget_words(row.id.budget) if row.id.budget else ""


def _title(row: ResultRow) -> str:
    if row.attack is not None:
        return row.attack.title
    return REROLL_TITLE if row.rerolled else NO_IMMUNIZATION


def short_title(title: str) -> str:
    """Shorten the paper's form of a title for figures: "Immunization (Encoder attack)" is "Encoder attack"."""
    found = _PAPER_TITLE.match(title)
    return found.group(1) + found.group(2) if found else title


def metric_label(result: EvaluationResult, name: str) -> str:
    """Return the label of a metric; its name, if the result says nothing of it."""
    metric = result.metric(name)
    return metric.label if metric else name


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
