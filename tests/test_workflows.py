"""What runs in CI: commands that exist, files that are there, and weights that are kept between runs."""

import re
from pathlib import Path

import pytest
import yaml

from photoguard_eval.app.options import SUITE_OPTIONS

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(path):
    """All steps of a workflow."""
    return [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_job_may_only_read_and_ends_by_itself(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    assert all(job["timeout-minutes"] > 0 for job in workflow["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_is_used_is_pinned_to_a_version(path):
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert all(re.search(r"(@v\d+|:\d+\.\d+\.\d+)$", name) for name in used)


def test_a_change_passes_the_checks_that_developers_run():
    commands = [step.get("run") for step in steps(ROOT / ".github/workflows/ci.yml")]
    assert ".ci/run" in commands
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_the_gpu_runs_the_benchmark_with_options_that_it_has():
    (command,) = re.findall(r"pytest bench/.*", (ROOT / ".github/workflows/gpu.yml").read_text())
    options = set(re.findall(r"--([a-z-]+)", command))
    assert {"gpu", "preset", "store", "model"} == options
    assert options <= {option.name for option in SUITE_OPTIONS}


def test_weights_and_finished_edits_outlive_a_gpu_run():
    """The caches of the image are where the workflow mounts the runner's own folders."""
    text = (ROOT / ".github/workflows/gpu.yml").read_text()
    mounts = set(re.findall(r'--volume "\$RUNNER_TOOL_CACHE/\w+:(\S+)"', text))
    image = (ROOT / "Dockerfile").read_text()
    caches = {re.search(rf"{name}=(\S+)", image)[1] for name in ("HF_HOME", "TORCH_HOME")}
    assert mounts == {*caches, "/cache/store"}


def test_the_image_is_pinned_and_holds_what_the_benchmark_reads():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (base,) = [line for line in lines if line.startswith("FROM ")]
    assert re.fullmatch(r"FROM pytorch/pytorch:\d+\.\d+\.\d+-cuda\d+\.\d+-cudnn\d+-runtime", base)
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert all((ROOT / name).exists() for name in copied)
    assert {"photoguard_eval", "datasets", "bench", "reports/baselines", "reports/boards"} <= copied
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied <= admitted
