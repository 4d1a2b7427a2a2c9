"""The wheel carries what it needs, is small, and runs outside of the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from photoguard_eval import resources

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 45e6


def build(project, folder):
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, project], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_carries_model_dataset_suite_board_template_and_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "photoguard_eval/checkpoints/inpaint-a/unet/diffusion_pytorch_model.safetensors",
        "photoguard_eval/checkpoints/clip/open_clip_model.safetensors",
        "photoguard_eval/checkpoints/amortised-a/network.safetensors",
        "photoguard_eval/_shared/datasets/emoji-scenes/metadata.jsonl",
        "photoguard_eval/_shared/datasets/emoji-scenes/LICENSE",
        "photoguard_eval/_shared/baselines/inpaint-a-emoji-scenes-ci.json",
        "photoguard_eval/_shared/boards/inpaint-a-emoji-scenes-paper-16.json",
        "photoguard_eval/_shared/boards/field.txt",
        "photoguard_eval/_shared/boards/variants.txt",
        "photoguard_eval/bench/test_cost.py",
        "photoguard_eval/reports/templates/leaderboard.html.j2",
        "photoguard_eval/py.typed",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "recipes/", "checkpoints/"))]
    assert not [name for name in names if any(f"/{apart}/" in name for apart in resources.APART)]


def test_the_wheel_is_small_and_names_the_plugin_of_pytest(wheel):
    assert wheel.stat().st_size <= LIMIT
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        entry_points = archive.read(name).decode()
    # Of the name that a conftest.py or `-p` gives it, so that pytest does not register it twice.
    assert "[pytest11]\nphotoguard_eval.app.pytest_plugin = photoguard_eval.app.pytest_plugin" in entry_points
    assert "photoguard-eval = photoguard_eval.app.main:main" in entry_points


def test_no_file_of_weights_is_carried_twice():
    from photoguard_eval.files import sha256_of_file

    weights = [path for folder in resources.checkpoint_folders() for path in folder.rglob("*.safetensors")]
    assert len({sha256_of_file(path) for path in weights}) == len(weights)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return a function that runs Python with the wheel, in a project of somebody else's."""
    folder = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder / "site"]
    subprocess.run([*install, wheel], check=True)
    (folder / "project").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(folder / "site")}

    def run(*arguments, site=""):
        path = os.pathsep.join(filter(None, [str(folder / "site"), str(site)]))
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=folder / "project", env={**environment, "PYTHONPATH": path}
        )

    where = run("-c", "import photoguard_eval; print(photoguard_eval.__file__)")
    assert where.stdout.startswith(str(folder / "site"))
    return run


@pytest.mark.slow
def test_the_wheel_runs_outside_of_the_checkout(installed):
    command = ["-m", "photoguard_eval", "run", "--preset", "smoke", "--attack", "noise"]
    done = installed(*command, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert sorted((row["attack"], row["editor"], row["n"]) for row in rows) == [
        (row, editor, 4) for row in ("noise", "original", "re-roll") for editor in ("img2img", "inpaint")
    ]
    done = installed("-c", "from pathlib import Path; print(*Path('reports').iterdir())")
    assert "inpaint-a-emoji-scenes-smoke.html" in done.stdout
    suite = ["-m", "pytest", "--pyargs", "photoguard_eval.bench", "-p", "no:cacheprovider"]
    done = installed(*suite, "--preset", "smoke", "--attack=noise")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_imperceptibility.py" in done.stdout
    assert "Leaderboard: " in done.stdout
    done = installed("-m", "photoguard_eval", "leaderboard", "--board", "inpaint-a-emoji-scenes-paper-16", "--json")
    assert {"noise", "encoder", "diffusion"} <= {row["attack"] for row in json.loads(done.stdout)}


@pytest.mark.slow
def test_checkpoints_of_their_own_distribution_are_found_where_it_is_installed(installed, tmp_path):
    command = ["-m", "photoguard_eval", "download"]
    for name in resources.APART:
        done = installed(*command, name)
        assert done.returncode == 2
        assert "Install it with `pip install photoguard-eval-checkpoints`." in done.stderr
    path = build(ROOT / "checkpoints", tmp_path)
    assert path.stat().st_size <= LIMIT
    zipfile.ZipFile(path).extractall(tmp_path / "site")
    for name in resources.APART:
        done = installed(*command, name, site=tmp_path / "site")
        assert done.returncode == 0, done.stderr
        assert str(tmp_path / "site") in done.stdout
