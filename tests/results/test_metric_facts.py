"""What a stored result says of a metric, and what is taken for said where an earlier version wrote it."""

from photoguard_eval.metrics import METRICS
from photoguard_eval.results.facts import METRIC_FACTS, MetricInfo
from tests.reports.example import make_result


def test_facts_that_an_earlier_result_lacks_are_those_of_the_registered_metric(tmp_path):
    earlier = make_result().model_dump()["metrics"]
    for fields in earlier:
        for fact in METRIC_FACTS:
            del fields[fact]
    infos = {fields["name"]: MetricInfo.model_validate(fields) for fields in earlier}
    assert {name for name, info in infos.items() if info.unbiased} == {"kid"}
    assert {name for name, info in infos.items() if info.under_pictures} == {"ssim", "psnr", "clip_similarity"}
    assert not infos["immunized_ssim"].ranked
    said = MetricInfo.model_validate({**earlier[0], "ranked": False})
    assert (infos["fid"].ranked, said.ranked) == (True, False)


def test_nothing_is_loaded_for_a_name_in_a_file(tmp_path):
    code, ran = tmp_path / "mine.py", tmp_path / "ran"
    code.write_text(f"open({str(ran)!r}, 'w')\n")
    like = make_result().metrics[0].model_dump(exclude=set(METRIC_FACTS))
    stranger = MetricInfo.model_validate({**like, "name": f"{code}:Metric"})
    assert not any(getattr(stranger, fact) for fact in METRIC_FACTS)
    assert METRICS.registered(f"{code}:Metric") is None
    assert not ran.exists()
