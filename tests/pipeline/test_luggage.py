"""What an attack takes along to another machine, which has none of its files."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from photoguard_eval.errors import ConfigurationError
from photoguard_eval.images.arrays import write_image
from photoguard_eval.pipeline import luggage
from photoguard_eval.pipeline.isolation import Isolation
from photoguard_eval.pipeline.luggage import packed, unpacked
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.session import Limits
from photoguard_eval.pipeline.steps import immunize
from photoguard_eval.pipeline.work import Finished
from photoguard_eval.pipeline.worker import Worker
from tests.tiny import random_images


@pytest.mark.parametrize("spec", ["mine.py:Mine,extra=data/extra.txt", "mine:Mine,extra={0}/data/extra.txt"])
def test_an_attack_of_others_works_where_none_of_its_files_are(make_request, project, tmp_path, monkeypatch, spec):
    plan = build_plan(make_request(attacks=(spec.format(project),), threads=1))
    (source,) = plan.session.attacks.values()
    names = {Path(file).relative_to(project).as_posix() for file in source.files}
    assert names == {"mine.py", "helper.py", "level.txt", "data/extra.txt"}
    sent = packed(plan.session)
    work = immunize.gather([plan.attack_rows[0].immunize[0].inputs], 1)
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(project)
    there = replace(unpacked(sent, tmp_path / "there"), limits=Limits(60))
    assert not any(source.contents for source in there.attacks.values()), "they are not held a second time"
    isolation = Isolation(there, plan.attacks[0].label)
    try:
        images, _, _ = isolation.perturb(work)
    finally:
        isolation.close()
    change = images.numpy() * 255 - work.images
    assert change.max().item() == pytest.approx(5, abs=1e-3)


def test_the_packages_own_attacks_take_the_files_that_they_are_given(make_request, tmp_path):
    (tmp_path / "given").mkdir()
    write_image(tmp_path / "given" / "target.png", random_images(1, side=64))
    spec = f"encoder,steps=1,target={tmp_path / 'given' / 'target.png'}"
    plan = build_plan(make_request(attacks=(spec,), threads=1))
    sent = packed(plan.session)
    work = immunize.gather([plan.attack_rows[0].immunize[0].inputs], 1)
    here = Worker(plan.session).perform(work)
    shutil.rmtree(tmp_path / "given")
    there = Worker(unpacked(sent, tmp_path / "there")).perform(work)
    assert isinstance(there, Finished), there
    assert there.artifacts[0].png == here.artifacts[0].png


def test_what_is_installed_does_not_travel(make_request):
    plan = build_plan(make_request(attacks=("noise", "amortised", "ensemble,attacks=noise+encoder(steps=1)")))
    assert [source.files for source in plan.session.attacks.values()] == [(), (), ()]


def test_files_that_are_too_large_are_refused_by_name(make_request, project, monkeypatch):
    plan = build_plan(make_request(attacks=("mine.py:Mine,extra=data/extra.txt",)))
    monkeypatch.setattr(luggage, "LARGEST_MIB", 1e-6)
    with pytest.raises(ConfigurationError, match=r"The files of the attack 'mine,extra=.*' have .* MiB"):
        packed(plan.session)
