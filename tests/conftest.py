"""A dataset of two images with three cases, and one finished evaluation of it."""

import json
import os
import shutil

import pytest

from photoguard_eval import resources
from photoguard_eval.metrics import hub
from photoguard_eval.pipeline.evaluation import Evaluation
from photoguard_eval.pipeline.plan import build_plan
from photoguard_eval.pipeline.progress import Progress
from photoguard_eval.pipeline.request import EvaluationRequest
from photoguard_eval.pipeline.store import Store
from photoguard_eval.reports.render.terminal import DEFAULT_WIDTH

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the processor. Threads of each on all of it would slow all of them down many times over.
    threads = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, threads)))

ALEXNET = "alexnet-owt-7be5be79.pth"

QUICK_ATTACKS = ("noise", "encoder,steps=4", "diffusion,steps=2")


@pytest.fixture(scope="session", autouse=True)
def _no_cached_weights(tmp_path_factory):
    """Hide what the machine has cached, so that results have the same metrics everywhere."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_width():
    """Print as wide as without a terminal, whatever terminal the tests run in."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("COLUMNS", str(DEFAULT_WIDTH))
        yield


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache of torch hub."""
    import torch

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def alexnet(cache, monkeypatch):
    """An AlexNet with drawn weights, which LPIPS finds in the cache."""
    import torch
    import torchvision

    generator = torch.Generator().manual_seed(0)
    network = torchvision.models.alexnet()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter.data, std=parameter[0].numel() ** -0.5, generator=generator)
    weights = network.state_dict()
    (cache / ALEXNET).write_bytes(b"weights")
    monkeypatch.setattr(hub, "sha256_of_file", lambda path: "7be5be79" + "0" * 56)
    monkeypatch.setattr(torchvision.models.AlexNet_Weights, "get_state_dict", lambda *_, **__: weights)
    return network


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory):
    """Copy two images of the shipped dataset, with two prompts and one."""
    source = resources.datasets_folder() / "emoji-scenes"
    folder = tmp_path_factory.mktemp("datasets") / "small"
    rows = [json.loads(line) for line in (source / "metadata.jsonl").read_text(encoding="utf-8").splitlines()][:2]
    for row, count in zip(rows, (2, 1), strict=True):
        row["prompts"], row["seeds"] = row["prompts"][:count], row["seeds"][:count]
        for name in (row["file_name"], row["mask_file_name"]):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, folder / name)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def make_request(small_dataset):
    """Return a function that makes a request for the small dataset."""

    def make(**changes):
        return EvaluationRequest(
            **{"dataset": str(small_dataset), "preset": "smoke", "attacks": QUICK_ATTACKS, **changes}
        )

    return make


def evaluate(request, folder):
    """Run an evaluation and return it with its result."""
    evaluation = Evaluation(build_plan(request), Store(folder), Progress(quiet=True))
    return evaluation, evaluation.run()


@pytest.fixture(scope="session")
def finished(make_request, tmp_path_factory):
    """One finished evaluation: its store's folder and its result. Copy the folder before changing it."""
    folder = tmp_path_factory.mktemp("stores") / "finished"
    _, result = evaluate(make_request(), folder)
    return folder, result
