"""Tables as data: the paper's Tables 6 and 10, and what this benchmark measures besides.

`rendering` prints them for a terminal or as Markdown, and the page's template as HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from photoguard_eval.analysis.claims import PAPER_EDITOR
from photoguard_eval.metrics import distribution_metrics
from photoguard_eval.reports import paper
from photoguard_eval.reports.cells import Cell, Column, Row, Table, without_repeated_notes
from photoguard_eval.reports.naming import (
    MISSING,
    TABLE_6,
    TABLE_10,
    budget_text,
    column_label,
    decimals_for,
    editor_methods,
    knowledge_text,
    mean_and_std,
    method_titles,
    number,
    reroll_notes,
    with_references,
    with_reroll,
)
from photoguard_eval.reports.ranking import ranking_tables
from photoguard_eval.results.facts import AttackInfo, MetricInfo, ThreatModelInfo
from photoguard_eval.results.rows import MethodResult, Summary
from photoguard_eval.results.schema import EvaluationResult

UNPROTECTED = ""
"""What stands for the budget of the unprotected images."""

COST_UNIT = "encoder"
"""The attack, with the arguments that the preset gives it, in whose seconds those of others are shown."""

UNBIASED = ("kid",)
"""Set metrics whose expectation does not depend on the size of the set."""

NOTE_ARROWS = (
    "Arrows point to increasing image similarity. A good immunization makes the edit dissimilar, so the best value is "
    "the lowest of a ↑ column and the highest of a ↓ column; of the measured rows with the same budget the best is "
    "bold."
)
NOTE_PAPER = (
    f'Rows marked "paper, SD 1.5" are printed in {paper.SOURCE}; they have no part in what is bold. '
    'Rows marked "difference" say how far the measured mean lies from the printed one, in printed standard deviations.'
)
NOTE_PAPER_FEATURES = (
    "† Computed on Inception-v3 features, as piq does. The paper prints one number, PR, and does not say whether it is "
    "precision or recall; it stands in the first of the two columns."
)


def editor_tables(result: EvaluationResult, editor: str, *, paper_rows: bool = False) -> tuple[Table, ...]:
    """Return the tables of one editor, in the order of the report; one that would be empty is left out.

    Args:
        result: The result of an evaluation.
        editor: Name of the editor.
        paper_rows: Whether the paper's own rows stand beside the measured ones; for Stable Diffusion models only,
            and only under the editor that the paper's tables are about.
    """
    if not editor_methods(result, editor):
        return ()
    printed = paper_rows and editor == PAPER_EDITOR
    tables = (
        _similarity_table(result, editor, "Table 6: similarity of edits", named_metrics(result, TABLE_6), printed),
        _similarity_table(
            result, editor, "Table 10: further similarity metrics", named_metrics(result, TABLE_10), printed
        ),
        _similarity_table(result, editor, "Measures of this benchmark", _further(result), False),
        _prompt_table(result, editor),
        _imperceptibility_table(result, editor),
        _cost_table(result, editor),
    )
    shown = [*ranking_tables(result, editor), *(table for table in tables if len(table.header) > 1 and table.rows)]
    return tuple(without_repeated_notes(shown, set()))


def named_metrics(result: EvaluationResult, names: Sequence[str]) -> list[MetricInfo]:
    """Return what is known of some metrics; those that were not measured are left out."""
    return [metric for name in names if (metric := result.metric(name)) is not None]


def _further(result: EvaluationResult) -> list[MetricInfo]:
    shown = (*TABLE_6, *TABLE_10)
    return [
        metric
        for metric in result.metrics
        if metric.subject == "edit" and metric.kind != "prompt" and metric.name not in shown
    ]


def _similarity_table(
    result: EvaluationResult, editor: str, title: str, metrics: Sequence[MetricInfo], printed: bool
) -> Table:
    methods = with_reroll(result, editor)
    columns = [[Cell(title) for title in method_titles(methods)]]
    columns += [metric_cells(metric, methods) for metric in metrics]
    rows = table_rows(columns)
    notes = [
        NOTE_ARROWS,
        *reroll_notes(methods),
        *extractor_notes(metrics),
        *_sample_notes(metrics, result),
        *_left_out_note(result),
    ]
    if printed:
        rows += _paper_rows(metrics, methods)
        notes.append(NOTE_PAPER)
        if any(metric.name in paper.FEATURE_METRICS for metric in metrics):
            notes.append(NOTE_PAPER_FEATURES)
    header = (Column("Method", numeric=False), *(Column(column_label(metric)) for metric in metrics))
    return Table(title, header, rows, tuple(notes))


def metric_cells(
    metric: MetricInfo, methods: Sequence[MethodResult], comparable: Sequence[bool] | None = None
) -> list[Cell]:
    """Print a column; values that are not comparable with the others are marked and never best.

    The best of the rows with the same budget is bold, unless unprotected images have a better value still, or there are
    too few cases for the metric to say which is.
    """
    comparable = comparable or [True] * len(methods)
    summaries = [method.metrics.get(metric.name) for method in methods]
    standing: dict[str, list[float]] = {}
    for method, summary, same in zip(methods, summaries, comparable, strict=True):
        if summary is not None and same and not method.rerolled:
            standing.setdefault(_budget(method), []).append(summary.mean)
    unprotected = standing.pop(UNPROTECTED, [])
    best = {budget: _best(metric, means + unprotected) for budget, means in standing.items() if len(means) > 1}
    decimals = decimals_for([summary.mean for summary in summaries if summary is not None])
    cells = []
    for method, summary, same in zip(methods, summaries, comparable, strict=True):
        if summary is None:
            cells.append(Cell(MISSING))
        else:
            text = mean_and_std(summary, decimals)
            is_best = same and method.n >= metric.settled_from and summary.mean == best.get(_budget(method))
            cells.append(Cell(text if same else f"{text} *", best=is_best))
    return cells


def _budget(method: MethodResult) -> str:
    return budget_text(method.attack.threat_model) if method.attack else UNPROTECTED


def _best(metric: MetricInfo, means: Sequence[float]) -> float | None:
    """Return the best mean: of the edit the least similar, of the immunized image the most similar.

    None where there is nothing to compare: fewer than two values, or all of them equal.
    """
    if len(set(means)) < 2:
        return None
    highest_is_best = metric.higher_is_more_similar == (metric.subject == "immunized")
    return max(means) if highest_is_best else min(means)


def table_rows(columns: Sequence[Sequence[Cell]]) -> tuple[Row, ...]:
    """Return the rows of columns of cells."""
    return tuple(Row(cells) for cells in zip(*columns, strict=True))


def _paper_rows(metrics: Sequence[MetricInfo], methods: Sequence[MethodResult]) -> tuple[Row, ...]:
    """Return the paper's rows, and under each how far the measured row of the same method lies from it."""
    # With other arguments, a budget of its own for example, a row is not that of the paper.
    attacks = ((method, method.attack) for method in methods if method.attack)
    measured = {attack.title: method for method, attack in attacks if attack.label == attack.name}
    rows = []
    for printed in paper.ROWS:
        cells = [_paper_cell(printed, metric.name) for metric in metrics]
        rows.append(Row((Cell(f"{printed.title}, paper, SD 1.5"), *cells), from_paper=True))
        method = measured.get(printed.title)
        if method is not None:
            differences = [_difference_cell(printed, method, metric.name) for metric in metrics]
            rows.append(Row((Cell(f"{printed.title}, difference"), *differences), from_paper=True))
    return tuple(rows)


def _difference_cell(printed: paper.PaperRow, method: MethodResult, metric: str) -> Cell:
    value, summary = printed.values.get(metric), method.metrics.get(metric)
    if value is None or summary is None or not value.std:
        return Cell(MISSING)
    return Cell(f"{number((summary.mean - float(value.mean)) / float(value.std), 1, signed=True)} σ")


def _paper_cell(row: paper.PaperRow, metric: str) -> Cell:
    value = row.values.get(metric)
    if value is None:
        return Cell(MISSING)
    return Cell(f"{value.text} †" if metric in paper.FEATURE_METRICS else value.text)


def extractor_notes(metrics: Iterable[MetricInfo]) -> list[str]:
    """Say which feature extractor or text model metrics were measured with."""
    by_extractor: dict[str, list[str]] = {}
    for metric in metrics:
        if metric.extractor:
            by_extractor.setdefault(metric.extractor, []).append(metric.label)
    return [f"{', '.join(labels)}: measured with {extractor}." for extractor, labels in by_extractor.items()]


def _sample_notes(metrics: Sequence[MetricInfo], result: EvaluationResult) -> list[str]:
    of_sets = [metric for metric in metrics if metric.kind == "distribution"]
    n = result.dataset.n
    notes = [_cases_note(n)] if any(metric not in of_sets for metric in metrics) else []
    biased = ", ".join(metric.label for metric in of_sets if metric.name not in UNBIASED)
    if biased:
        notes.append(
            f"{biased}: one value over the set of all {n} edits, biased for sets this small; compare rows, not papers."
        )
    notes += unsettled_notes(metrics, n)
    unbiased = ", ".join(metric.label for metric in of_sets if metric.name in UNBIASED)
    if unbiased:
        notes.append(f"{unbiased}: one value over the set of all {n} edits, without bias; 0 or below is no difference.")
    return notes


def unsettled_notes(metrics: Sequence[MetricInfo], n: int) -> list[str]:
    """Say by which metrics so many cases are too few to call a row better than another."""
    unsettled = [metric for metric in metrics if metric.settled_from > n]
    if not unsettled:
        return []
    labels = ", ".join(metric.label for metric in unsettled)
    enough = max(metric.settled_from for metric in unsettled)
    return [
        f"{labels}: {n} cases are too few to say which row is better, so none is bold or ranked; {enough} are enough."
    ]


def _cases_note(n: int) -> str:
    if n == 1:
        return "Of a single case, n = 1: nothing says how far other cases lie from it."
    return f"Mean ± standard deviation over n = {n} cases."


def _left_out_note(result: EvaluationResult) -> list[str]:
    n = result.dataset.n
    left_out = [
        metric.label for metric in distribution_metrics() if metric.needs_more(n) and result.metric(metric.name) is None
    ]
    if not left_out:
        return []
    edits = "one edit" if n == 1 else f"{n} edits"
    return [f"{', '.join(left_out)}: left out, since a set of {edits} is too small to be compared by it."]


def _prompt_table(result: EvaluationResult, editor: str) -> Table:
    methods = with_references(result, editor)
    metrics = [metric for metric in result.metrics if metric.kind == "prompt"]
    header = [Column("Method", numeric=False)]
    columns = [[Cell(title) for title in method_titles(methods)]]
    for metric in metrics:
        header.append(Column(column_label(metric)))
        columns.append(metric_cells(metric, methods))
        for heading, read in _QUARTILES:
            header.append(Column(heading if len(metrics) == 1 else f"{metric.label}, {heading}"))
            columns.append(_quartile_cells(metric, methods, read))
    notes = (
        "Mean ± standard deviation and quartiles over the cases, drawn in Figure 7. The arrow points to an edit that "
        "follows the prompt; a good immunization keeps it from doing so.",
        *reroll_notes(methods),
        *_seed_notes(result, methods),
        *extractor_notes(metrics),
    )
    return Table("Figure 7 as numbers: similarity of the edit to the prompt", tuple(header), table_rows(columns), notes)


def _seed_notes(result: EvaluationResult, methods: Sequence[MethodResult]) -> list[str]:
    """Say which of the rows of unprotected images a drop is to be counted from."""
    if not any(method.rerolled for method in methods):
        return []
    return [
        f"All rows but the re-roll have these seeds: {result.dataset.seeds}. Where they were selected for edits of the "
        "unprotected image that follow the prompt, the mean without immunization is too high by just that, and every "
        "other edit falls behind it. Count a drop from the re-roll, whose seeds nobody has selected."
    ]


_QUARTILES: tuple[tuple[str, Callable[[Summary], float | None]], ...] = (
    ("25 %", lambda summary: summary.first_quartile),
    ("median", lambda summary: summary.median),
    ("75 %", lambda summary: summary.third_quartile),
)


def _quartile_cells(
    metric: MetricInfo, methods: Sequence[MethodResult], read: Callable[[Summary], float | None]
) -> list[Cell]:
    summaries = [method.metrics.get(metric.name) for method in methods]
    decimals = decimals_for([summary.mean for summary in summaries if summary is not None])
    values = [read(summary) if summary is not None else None for summary in summaries]
    return [Cell(MISSING if value is None else number(value, decimals)) for value in values]


def _imperceptibility_table(result: EvaluationResult, editor: str) -> Table:
    methods = editor_methods(result, editor)
    metrics = [metric for metric in result.metrics if metric.subject == "immunized"]
    columns = [[Cell(title) for title in method_titles(methods)]]
    columns += [metric_cells(metric, methods) for metric in metrics]
    columns += [
        [_threat_model_cell(method.attack, budget_text) for method in methods],
        [Cell(_largest_change(method)) for method in methods],
        [Cell(_typical_change(method)) for method in methods],
        [_threat_model_cell(method.attack, knowledge_text) for method in methods],
    ]
    header = (
        Column("Method", numeric=False),
        *(Column(column_label(metric)) for metric in metrics),
        Column("Budget"),
        Column("Largest change"),
        Column("RMS change"),
        Column("Sees", numeric=False),
    )
    notes = (
        "The immunized image beside the original: here more similar is better, since the change should not be seen. "
        "Changes are in levels of 1/255, measured on the saved files.",
    )
    return Table("Imperceptibility and threat model", header, table_rows(columns), notes)


def _threat_model_cell(attack: AttackInfo | None, text: Callable[[ThreatModelInfo], str]) -> Cell:
    return Cell(MISSING if attack is None else text(attack.threat_model))


def _largest_change(method: MethodResult) -> str:
    return number(max((case.linf_levels for case in method.cases), default=0.0), 1)


def _typical_change(method: MethodResult) -> str:
    return number(sum(case.rms_levels for case in method.cases) / max(len(method.cases), 1), 2)


def _cost_table(result: EvaluationResult, editor: str) -> Table:
    methods = editor_methods(result, editor)
    header = (
        Column("Method", numeric=False),
        Column("Seconds"),
        Column(f"× {COST_UNIT}"),
        Column("Gradient evaluations"),
        Column("UNet calls"),
        Column("Encoder calls"),
        Column("Peak memory, MiB"),
        Column("Batch size"),
    )
    units = [
        method.cost.seconds for method in methods if method.cost and method.attack and method.attack.label == COST_UNIT
    ]
    unit = units[0] if units else None
    rows = tuple(
        Row((Cell(title), *_cost_cells(method, unit)))
        for title, method in zip(method_titles(methods), methods, strict=True)
    )
    notes = (
        f"Mean over the images, on {result.model.device} in {result.model.dtype}. Peak memory is a whole batch's. "
        f"Seconds were measured by the run that made the images; × {COST_UNIT} divides them by those of the attack "
        f"{COST_UNIT}, which says more than seconds where the same run made both.",
    )
    return Table("Cost of immunizing one image", header, rows, notes)


def _cost_cells(method: MethodResult, unit: float | None) -> tuple[Cell, ...]:
    cost = method.cost
    if cost is None:
        return (Cell(MISSING),) * 7
    calls = (cost.gradient_evaluations, cost.unet_calls, cost.encoder_calls)
    return (
        Cell(number(cost.seconds, 3 if cost.seconds < 1 else 1)),
        Cell(number(cost.seconds / unit, 2) if unit else MISSING),
        *(Cell(f"{value:.0f}") for value in calls),
        Cell(f"{cost.peak_memory_mib:.0f}"),
        Cell(str(cost.batch_size)),
    )
