import json
import shutil
import subprocess
import sys

import pytest
import torch

from photoguard_eval import load_dataset
from photoguard_eval.cli import main
from photoguard_eval.images import read_image, write_image
from tests.conftest import QUICK_ATTACKS

CASE = load_dataset("emoji-scenes").cases[0]
METRICS = ["ssim", "psnr", "vifp", "fsim", "sr_sim", "gmsd", "vsi", "dss", "haarpsi", "fid", "kid", "precision"]
METRICS += ["recall", "clip_similarity", "region_ssim", "region_psnr"]


@pytest.fixture
def arguments(finished, small_dataset, tmp_path):
    """Options of `run` for the finished evaluation, over a copy of its store."""
    store = shutil.copytree(finished[0], tmp_path / "store")
    attacks = [part for attack in QUICK_ATTACKS for part in ("--attack", attack)]
    return ["--preset", "smoke", "--dataset", str(small_dataset), "--store", str(store), *attacks]


def test_run_prints_the_board_and_the_page(arguments, tmp_path, capsys):
    assert main(["run", *arguments, "--reports", str(tmp_path / "reports"), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "Immunization (Encoder attack)" in out
    page = tmp_path / "reports" / "inpaint-a-small-smoke.html"
    assert f"Leaderboard: {page}" in out
    assert page.is_file()


def test_leaderboard_as_json_has_one_row_per_attack_and_editor(arguments, tmp_path, capsys):
    store = arguments[arguments.index("--store") + 1]
    assert main(["leaderboard", "--store", store, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["attack"], row["editor"]) for row in rows] == [
        (attack, editor) for editor in ("inpaint", "img2img") for attack in QUICK_ATTACKS
    ]
    for row in rows:
        assert set(row) == {"attack", "editor", "model", "dataset", "preset", "n", "metrics"}
        assert (row["model"], row["dataset"], row["preset"], row["n"]) == ("inpaint-a", "small", "smoke", 3)
        assert set(METRICS) <= set(row["metrics"])
        for name, value in row["metrics"].items():
            assert set(value) == ({"mean"} if name in ("fid", "kid", "precision", "recall") else {"mean", "std"})


def test_leaderboard_as_text(arguments, capsys):
    assert main(["leaderboard", "--store", arguments[arguments.index("--store") + 1]]) == 0
    assert "noise" in capsys.readouterr().out.lower()


def test_run_as_json_prints_only_json(arguments, tmp_path, capsys):
    assert main(["run", *arguments, "--reports", str(tmp_path / "reports"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 6


def test_gate_blesses_passes_and_fails(arguments, tmp_path, capsys):
    store, baseline = arguments[arguments.index("--store") + 1], str(tmp_path / "baseline.json")
    assert main(["gate", "--store", store, "--baseline", baseline, "--bless"]) == 0
    assert "→" in capsys.readouterr().out
    assert main(["gate", "--store", store, "--baseline", baseline]) == 0
    assert "The gate passes" in capsys.readouterr().out
    data = json.loads((tmp_path / "baseline.json").read_text())
    for entry in data["thresholds"]:
        if (entry["attack"], entry["metric"]) == ("encoder,steps=4", "psnr"):
            entry["value"] -= 20
    (tmp_path / "baseline.json").write_text(json.dumps(data))
    assert main(["gate", "--store", store, "--baseline", baseline]) == 1
    assert "The gate fails: 2 thresholds not kept" in capsys.readouterr().out
    assert main(["gate", "--store", store, "--baseline", baseline, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


@pytest.mark.parametrize("with_mask", [True, False])
def test_immunize_writes_an_image_within_the_budget(tmp_path, capsys, with_mask):
    output = tmp_path / "immunized.png"
    mask = ["--mask", str(CASE.mask_path)] if with_mask else []
    command = ["immunize", str(CASE.image_path), *mask, "-o", str(output), "--attack", "encoder,steps=2", "--json"]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    change = (read_image(output) - CASE.image()).abs() * 255
    assert 0 < change.max() <= 16.001
    assert facts["linf_levels"] == pytest.approx(float(change.max()), abs=1e-3)
    assert facts["gradient_evaluations"] == 2
    if with_mask:
        assert (change * CASE.mask()).max() == 0


def test_edit_repaints_the_masked_region(tmp_path):
    output = tmp_path / "edit.png"
    command = ["edit", str(CASE.image_path), "--mask", str(CASE.mask_path), "--prompt", "a dog on a beach"]
    assert main([*command, "-o", str(output), "--preset", "smoke"]) == 0
    change = (read_image(output) - CASE.image()).abs()
    assert (change * (1 - CASE.mask())).max() == 0
    assert (change * CASE.mask()).mean() > 0.05


def test_edit_without_a_mask_varies_the_whole_image(tmp_path):
    output = tmp_path / "edit.png"
    command = ["edit", str(CASE.image_path), "--prompt", "a dog on a beach", "-o", str(output), "--preset", "smoke"]
    assert main(command) == 0
    assert ((read_image(output) - CASE.image()).abs() * (1 - CASE.mask())).mean() > 0.001


def test_seeds_writes_a_record(small_dataset, tmp_path, capsys):
    output = tmp_path / "seeds.json"
    command = ["seeds", "--dataset", str(small_dataset), "--preset", "smoke", "--candidates", "2", "--quiet"]
    assert main([*command, "--store", str(tmp_path / "store"), "--output", str(output)]) == 0
    assert set(json.loads(output.read_text())["seeds"]) == {"inpaint", "img2img"}
    assert "the best of 2 seeds for 6 edits" in capsys.readouterr().out


def test_info_lists_what_there_is(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"noise", "encoder", "diffusion", "folder"} <= set(facts["attacks"])
    assert set(METRICS) <= set(facts["metrics"])
    assert set(facts["presets"]) == {"smoke", "ci", "paper"}
    assert "inpaint-a" in facts["models"]
    assert "emoji-scenes" in facts["datasets"]
    assert main(["info"]) == 0
    assert "emoji-scenes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["immunize", "nowhere.png", "-o", "{out}/x.png"], "no image file nowhere.png"),
        (["immunize", "{image}", "-o", "{out}/x.jpg"], "does not end in .png"),
        (["immunize", "{image}", "-o", "{out}/x.png", "--attack", "encodr"], "Did you mean 'encoder'"),
        (["immunize", "{image}", "-o", "{out}/x.png", "--attack", "noise,epsilon=3"], "at most 1"),
        (["immunize", "{image}", "--mask", "{small}", "-o", "{out}/x.png"], "and the mask 32 × 32"),
        (["immunize", "{image}", "--mask", "{white}", "-o", "{out}/x.png"], "edits every pixel"),
        (["immunize", "{odd}", "-o", "{out}/x.png"], "multiples of 16"),
        (["edit", "{odd}", "--prompt", "a dog", "-o", "{out}/x.png"], "multiples of 16"),
        (["edit", "{image}", "--prompt", "a dog", "-o", "{out}/x.png", "--preset", "big"], "Unknown preset 'big'"),
        (["edit", "{image}", "--original", "{small}", "--prompt", "a dog", "-o", "{out}/x.png"], "32 × 32"),
        (["run", "--model", "inpaint-z", "--store", "{out}/store"], "Did you mean 'inpaint-a'"),
        (["run", "--dataset", "emoji", "--store", "{out}/store"], "Unknown dataset 'emoji'"),
        (["run", "--attack", "no/such.py:A", "--store", "{out}/store"], "There is no file no/such.py"),
        (["run", "--extractor", "vgg", "--preset", "smoke", "--store", "{out}/store"], "Unknown feature extractor"),
        (["run", "--clip", "vit", "--preset", "smoke", "--store", "{out}/store"], "Unknown CLIP"),
        (["leaderboard", "--store", "{out}/none"], "There is no store in"),
        (["gate", "--store", "{out}/none"], "There is no store in"),
    ],
)
def test_bad_input_gives_one_clear_error_and_writes_nothing(command, message, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    names = {"image": CASE.image_path, "out": out}
    for name, image in {
        "small": torch.zeros(1, 3, 32, 32),
        "white": torch.ones(1, 3, 64, 64),
        "odd": torch.zeros(1, 3, 60, 60),
    }.items():
        names[name] = tmp_path / f"{name}.png"
        write_image(names[name], image)
    assert main([part.format(**names) for part in command]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("photoguard-eval: ")
    assert captured.out == ""
    assert list(out.iterdir()) == []


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["run", "--gpu", "--store", str(tmp_path / "store")]) == 2
    assert "--gpu needs a CUDA device" in capsys.readouterr().err


def test_a_stopped_attack_is_said_and_fails_the_run(arguments, tmp_path, capsys):
    (tmp_path / "bad.py").write_text(
        "from photoguard_eval import Attack\nclass Bad(Attack):\n    name = 'bad'\n"
        "    def perturb(self, model, batch, generator):\n        return (batch.images - 0.3).clamp(0, 1)\n"
    )
    reports = ["--reports", str(tmp_path / "reports")]
    assert main(["run", *arguments, "--attack", f"{tmp_path / 'bad.py'}:Bad", *reports, "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "Stopped: bad" in out
    assert "over the budget of 16.000" in out
    assert "Immunization (Encoder attack)" in out


def test_the_console_script_is_installed():
    done = subprocess.run([sys.executable, "-m", "photoguard_eval.cli", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("photoguard-eval ")
