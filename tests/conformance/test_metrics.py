"""What `check_metric` finds, and that the package's own metrics pass."""

import pytest
import torch

from photoguard_eval import check_metric
from photoguard_eval.errors import MetricError, PluginError, UnknownNameError
from photoguard_eval.metrics import METRICS, DistributionMetric, Metric, PairwiseMetric, PromptMetric


@pytest.mark.parametrize("name", [name for name, metric in METRICS.classes().items() if not metric.weights])
def test_the_package_s_own_pass(name):
    assert check_metric(METRICS.find(name)) is None


def test_lpips_passes_where_its_weights_are(alexnet):
    assert check_metric("lpips") is None


def test_a_metric_without_its_weights_cannot_be_checked():
    with pytest.raises(MetricError, match=r"'lpips' cannot be checked here\. The weights of AlexNet"):
        check_metric("lpips")


def closeness(self, edited, reference, masks):
    return 1 - (edited - reference).abs().mean(dim=(1, 2, 3))


def uneven(self, edited, reference, masks):
    return closeness(self, edited, reference, masks) ** edited.mean(dim=(1, 2, 3))


def metric(scores, base=PairwiseMetric, **content):
    facts = {"name": "mine", "label": "Mine", "source": "tests", "higher_is_more_similar": True}
    method = "_score" if base is DistributionMetric else "_scores"
    return type("Mine", (base,), {**facts, method: scores, **content})


def any_range(self, edited, reference, masks, case_ids):
    return [0.5 if edited is not reference and not torch.equal(edited, reference) else 1.0 for _ in case_ids]


def set_closeness(self, edited, reference):
    return float(1 / (1 + (edited - reference).abs().mean()))


def to_prompt(self, model, images, prompts):
    return images.mean(dim=(1, 2, 3))


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (metric(lambda self, edited, reference: edited), r"has _scores\(edited, reference\), and is called as"),
        (metric(lambda *given: 2 * closeness(*given)), r"Mine of first is .*; expected a finite value in \[0, 1\]"),
        (metric(lambda *given: 0.9 * closeness(*given)), r"for what is equal, and 1 is the best of its range"),
        (metric(lambda *given: 1 - closeness(*given), equal_value=0.0), "Turn it round, or mend the metric"),
        (
            metric(lambda *given: closeness(*given) ** given[1].mean(dim=(1, 2, 3)), symmetric=True),
            "says that it is symmetric",
        ),
        (metric(lambda *given: closeness(*given).mean().expand(len(given[1]))), "for two images in one batch and"),
        (metric(lambda *given: closeness(*given) - torch.rand(()) * 0), "changed the global state"),
        (metric(closeness, compute=any_range), r"gives a value for images in \[-1, 1\]"),
        (metric(closeness, label=""), "has no label"),
        (metric(closeness, source=None), "has no source"),
        (metric(closeness, higher_is_more_similar=None), "has no direction"),
        (metric(closeness, lower_bound=1.0), r"has the range \[1\.0, 1\.0\]"),
        (metric(closeness, scale=0.0), "has scale = 0.0"),
        (metric(lambda self, edited, reference: 0.5, DistributionMetric), "for what is equal, and 1 is the best"),
        (
            metric(lambda self, edited, reference: set_closeness(self, edited[:9], reference[:9]), DistributionMetric),
            "order",
        ),
        (metric(lambda *given: to_prompt(*given).flip(0), PromptMetric), "for two images in one batch and"),
        ("nothing", "Unknown metric"),
    ],
)
def test_what_breaks_the_contract_is_said(mine, message):
    with pytest.raises((PluginError, MetricError, UnknownNameError), match=message):
        check_metric(mine)


def test_sound_metrics_of_each_kind_pass():
    for sound in (
        metric(closeness, symmetric=True),
        metric(set_closeness, DistributionMetric),
        metric(to_prompt, PromptMetric),
    ):
        assert check_metric(sound) is None


def test_a_metric_of_no_kind_is_refused():
    with pytest.raises(PluginError, match="is of no kind"):
        check_metric(metric(closeness, Metric))
