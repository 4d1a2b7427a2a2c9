"""The wheel carries what it needs and runs outside of the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, ROOT], check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_carries_model_dataset_template_and_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "photoguard_eval/checkpoints/inpaint-a/unet/diffusion_pytorch_model.safetensors",
        "photoguard_eval/checkpoints/clip/open_clip_model.safetensors",
        "photoguard_eval/_shared/datasets/emoji-scenes/metadata.jsonl",
        "photoguard_eval/_shared/datasets/emoji-scenes/LICENSE",
        "photoguard_eval/_shared/baselines/inpaint-a-emoji-scenes-ci.json",
        "photoguard_eval/reports/templates/leaderboard.html.j2",
        "photoguard_eval/py.typed",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "recipes/"))]


@pytest.mark.slow
def test_the_wheel_runs_outside_of_the_checkout(wheel, tmp_path):
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel]
    subprocess.run(install, check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    where = subprocess.run(
        [sys.executable, "-c", "import photoguard_eval; print(photoguard_eval.__file__)"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(target))
    command = [
        sys.executable,
        "-m",
        "photoguard_eval.app.cli",
        "run",
        "--preset",
        "smoke",
        "--attack",
        "noise",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert sorted((row["attack"], row["editor"], row["n"]) for row in rows) == [
        (row, editor, 4) for row in ("noise", "original", "re-roll") for editor in ("img2img", "inpaint")
    ]
    assert (tmp_path / "reports" / "inpaint-a-emoji-scenes-smoke.html").is_file()
