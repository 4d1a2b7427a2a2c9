import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from PIL import Image

from photoguard_eval import load_dataset
from photoguard_eval.app.main import build_parser, main, parse
from photoguard_eval.attacks import ATTACKS
from photoguard_eval.diffusion import LatentDiffusion
from photoguard_eval.images.arrays import read_image, write_image
from photoguard_eval.images.masks import read_mask
from tests import profiles
from tests.conftest import QUICK_ATTACKS
from tests.reports.test_leaderboard import KEYS

BOARDS = Path(__file__).parents[2] / "reports" / "boards"
CASE = load_dataset("emoji-scenes").cases[0]
METRICS = ["ssim", "psnr", "vifp", "fsim", "sr_sim", "gmsd", "vsi", "dss", "haarpsi", "fid", "precision"]
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


def test_run_and_plan_take_options_from_a_file(arguments, tmp_path, capsys):
    board = tmp_path / "board.txt"
    board.write_text("".join(f"{line}\n" for line in arguments), encoding="utf-8")
    assert main(["run", f"@{board}", "--reports", str(tmp_path / "reports"), "--quiet"]) == 0
    assert "Immunization (Encoder attack)" in capsys.readouterr().out
    assert main(["plan", f"@{board}", "--quiet"]) == 0
    assert main(["run", f"@{tmp_path / 'missing.txt'}"]) == 2
    assert "missing.txt" in capsys.readouterr().err


def test_the_fields_list_has_every_attack_once_and_three_budgets():
    options = parse(["run", f"@{BOARDS / 'field.txt'}"])
    # A folder of finished images is no attack of the package's own.
    assert sorted(options.attack) == sorted(set(ATTACKS.names()) - {"folder"})
    assert options.budget == ["16/255", "8/255", "4/255"]
    variants = parse(["run", f"@{BOARDS / 'variants.txt'}"]).attack
    labels = {ATTACKS.create(spec).label for spec in (*options.attack, *variants)}
    assert len(labels) == len(options.attack) + len(variants)


def test_leaderboard_as_json_has_one_row_per_attack_and_editor(arguments, tmp_path, capsys):
    store = arguments[arguments.index("--store") + 1]
    assert main(["leaderboard", "--store", store, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["attack"], row["editor"]) for row in rows] == [
        (row, editor) for editor in ("inpaint", "img2img") for row in ("original", "re-roll", *QUICK_ATTACKS)
    ]
    for row in rows:
        assert set(row) == KEYS
        assert (row["model"], row["dataset"], row["preset"], row["n"]) == ("inpaint-a", "small", "smoke", 3)
        assert set(METRICS) <= set(row["metrics"]) or row["attack"] == "original"
        for name, value in row["metrics"].items():
            assert set(value) == ({"mean"} if name in ("fid", "precision", "recall") else {"mean", "std"})


def test_leaderboard_as_text(arguments, capsys):
    assert main(["leaderboard", "--store", arguments[arguments.index("--store") + 1]]) == 0
    assert "noise" in capsys.readouterr().out.lower()


def test_a_board_is_exported_and_looked_at_without_a_store(arguments, tmp_path, monkeypatch, capsys):
    store = arguments[arguments.index("--store") + 1]
    board = tmp_path / "board"
    assert main(["leaderboard", "--store", store, "--export", str(board / "field.json"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    monkeypatch.chdir(tmp_path)
    for shared in (str(board), store):
        assert main(["leaderboard", "--board", shared, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == rows
    assert main(["leaderboard", "--board", str(board / "field.json")]) == 0
    assert "Ranking at ℓ∞ 16/255 · Inpainting · inpaint-a · small · smoke" in capsys.readouterr().out


def test_run_as_json_prints_only_json(arguments, tmp_path, capsys):
    assert main(["run", *arguments, "--reports", str(tmp_path / "reports"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2 * (2 + len(QUICK_ATTACKS))


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
            entry["scores"] = [score - 20 for score in entry["scores"]]
    (tmp_path / "baseline.json").write_text(json.dumps(data))
    assert main(["gate", "--store", store, "--baseline", baseline]) == 1
    assert "The gate fails: 2 thresholds not kept" in capsys.readouterr().out
    assert main(["gate", "--store", store, "--baseline", baseline, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


def test_run_records_a_baseline_and_fails_against_one_that_it_does_not_keep(arguments, tmp_path, capsys):
    path = tmp_path / "baseline.json"
    command = ["run", *arguments, "--reports", str(tmp_path / "reports"), "--quiet", "--baseline", str(path)]
    assert main(command) == 2
    assert "baseline.json" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()
    assert main([*command, "--bless"]) == 0
    assert f"values changed in {path}." in capsys.readouterr().out
    data = json.loads(path.read_text())
    assert data["conditions"]["preset"] == "smoke"
    assert main(command) == 0
    assert "The gate passes" in capsys.readouterr().out
    for entry in data["thresholds"]:
        if (entry["attack"], entry["metric"]) == ("encoder,steps=4", "psnr"):
            entry["value"], entry["scores"] = entry["value"] - 20, [score - 20 for score in entry["scores"]]
    path.write_text(json.dumps(data))
    assert main(command) == 1
    assert "The gate fails" in capsys.readouterr().out


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


@pytest.mark.parametrize(
    "command", [["immunize", "--attack", "noise"], ["edit", "--prompt", "a dog", "--preset", "smoke"]]
)
def test_a_photograph_is_not_believed_to_be_protected_by_a_model_of_small_drawings(tmp_path, capsys, command):
    write_image(tmp_path / "photo.png", torch.rand((1, 3, 128, 160), generator=torch.Generator().manual_seed(0)))
    name, *options = command
    assert main([name, str(tmp_path / "photo.png"), "-o", str(tmp_path / "out.png"), *options]) == 0
    said = capsys.readouterr().err
    assert "inpaint-a was trained on images of 64 × 64, and" in said
    assert "photo.png is 160 × 128. It edits such images badly, and what is immunized against it is not" in said
    assert main([name, str(CASE.image_path), "-o", str(tmp_path / "out.png"), *options]) == 0
    assert "was trained" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [["immunize"], ["edit", "--prompt", "a dog"]])
def test_an_image_that_a_model_would_work_on_for_hours_is_refused_before_it_is_loaded(
    tmp_path, capsys, monkeypatch, command
):
    monkeypatch.setattr("photoguard_eval.diffusion.load_model", None)
    monkeypatch.setattr("photoguard_eval.pipeline.processor_memory.available_memory", lambda: None)
    Image.new("RGB", (300, 240)).save(tmp_path / "large.png")
    name, *options = command
    assert main([name, str(tmp_path / "large.png"), "-o", str(tmp_path / "out.png"), *options]) == 2
    assert "large.png is 300 × 240" in (said := capsys.readouterr().err)
    assert "Resize it to about 64 pixels first" in said


@pytest.fixture
def photographs(tmp_path):
    """A folder of three images, one of them a JPEG, and a folder of their masks."""
    folders = tmp_path / "images", tmp_path / "masks"
    for folder in folders:
        folder.mkdir()
    for number, case in enumerate(load_dataset("emoji-scenes").cases[:9:3]):
        with Image.open(case.image_path) as image:
            image.convert("RGB").save(folders[0] / f"{number}{'.jpg' if number == 1 else '.png'}")
        shutil.copy(case.mask_path, folders[1] / f"{number}.png")
    (folders[0] / "notes.txt").write_text("not an image")
    return folders


def immunize_folder(folders, output, *options):
    images, masks = folders
    command = ["immunize", str(images), "--mask", str(masks), "-o", str(output), "--attack", "pid,steps=2", "--json"]
    return main([*command, *options])


def test_immunize_takes_a_folder_and_goes_on_where_it_stopped(photographs, tmp_path, capsys):
    output = tmp_path / "immunized"
    assert immunize_folder(photographs, output) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [Path(entry["output"]).name for entry in facts] == ["0.png", "1.png", "2.png"]
    before = {path: path.stat().st_mtime_ns for path in output.glob("*.png")}
    mask = read_mask(photographs[1] / "1.png")
    change = (read_image(output / "1.png") - read_image(photographs[0] / "1.jpg")).abs() * 255
    assert 0 < change.max() <= 16.001
    assert (change * mask).max() == 0

    (output / "1.png").unlink()
    assert immunize_folder(photographs, output) == 0
    again = json.loads(capsys.readouterr().out)
    assert [entry["sha256"] for entry in again] == [entry["sha256"] for entry in facts]
    after = {path: path.stat().st_mtime_ns for path in output.glob("*.png")}
    assert {path.name for path in after if after[path] != before[path]} == {"1.png"}

    assert immunize_folder(photographs, output, "--seed", "1") == 0
    other = json.loads(capsys.readouterr().out)
    assert all(new["sha256"] != old["sha256"] for new, old in zip(other, facts, strict=True))


def test_immunize_goes_on_after_a_hard_stop_between_an_image_and_its_record(photographs, tmp_path, capsys):
    output = tmp_path / "immunized"
    assert immunize_folder(photographs, output, "--attack", "noise") == 0
    before = {path: path.read_bytes() for path in output.glob("*.png")}
    record = output / "immunized.jsonl"
    record.write_bytes(record.read_bytes()[:-50])
    (output / ".1.png.abcd1234.tmp").write_bytes(b"half")
    os.utime(output / ".1.png.abcd1234.tmp", (0, 0))
    assert immunize_folder(photographs, output, "--attack", "noise") == 0
    assert {path: path.read_bytes() for path in output.glob("*.png")} == before
    assert not list(output.glob("*.tmp"))
    lines = record.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["name"] for line in (lines[0], lines[-1])] == ["0", "2"]
    capsys.readouterr()


def test_an_image_of_a_folder_is_immunized_as_it_is_alone(photographs, tmp_path, capsys):
    immunize_folder(photographs, tmp_path / "immunized")
    image, mask = photographs[0] / "2.png", photographs[1] / "2.png"
    output = tmp_path / "alone.png"
    main(["immunize", str(image), "--mask", str(mask), "-o", str(output), "--attack", "pid,steps=2", "--json"])
    assert output.read_bytes() == (tmp_path / "immunized" / "2.png").read_bytes()
    capsys.readouterr()


def test_immunize_overwrites_nothing_of_others(photographs, tmp_path, capsys):
    output = tmp_path / "immunized"
    output.mkdir()
    (output / "2.png").write_bytes(b"mine")
    assert immunize_folder(photographs, output) == 2
    assert "2.png exists and was not written by this command" in capsys.readouterr().err
    assert sorted(path.name for path in output.iterdir()) == ["2.png"]


def test_immunize_checks_all_images_before_it_starts(photographs, tmp_path, capsys):
    Image.new("RGB", (60, 64)).save(photographs[0] / "2.png")
    assert immunize_folder(photographs, tmp_path / "immunized") == 2
    assert "2.png" in capsys.readouterr().err
    assert not (tmp_path / "immunized").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda images, _masks: shutil.copy(images / "0.png", images / "1.png"), "would both become 1.png"),
        (lambda _images, masks: (masks / "1.png").unlink(), "has no mask"),
        (lambda images, _masks: [path.unlink() for path in images.glob("?.*")], "holds no images"),
    ],
)
def test_a_folder_that_cannot_be_paired_is_refused(photographs, tmp_path, capsys, spoil, message):
    spoil(*photographs)
    assert immunize_folder(photographs, tmp_path / "immunized") == 2
    assert message in capsys.readouterr().err


def test_what_is_left_out_of_a_folder_is_said_and_fails_the_command(photographs, tmp_path, capsys):
    images, output = photographs[0], tmp_path / "immunized"
    (images / "IMG_9.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    Image.new("L", (64, 64)).save(images / "0-mask.png")
    assert main(["immunize", str(images), "-o", str(output), "--attack", "noise"]) == 1
    said = capsys.readouterr()
    assert f"Left out: {images / 'IMG_9.HEIC'} is a HEIC photograph" in said.err
    assert "0-mask.png lies beside its image and is taken for its mask; it is not immunized." in said.err
    assert "Not immunized: IMG_9.HEIC." in said.out
    assert sorted(path.name for path in output.glob("*.png")) == ["0.png", "1.png", "2.png"]


def test_masks_are_found_beside_their_images_and_in_other_formats(photographs, tmp_path, capsys):
    images, masks = photographs
    for number, ending in enumerate(("BMP", "gif", "tif")):
        with Image.open(masks / f"{number}.png") as mask:
            mask.save(images / f"{number}-mask.{ending}")
    assert immunize_folder(photographs, tmp_path / "apart") == 0
    assert immunize_folder((images, images), tmp_path / "beside") == 0
    for number in range(3):
        apart, beside = (tmp_path / folder / f"{number}.png" for folder in ("apart", "beside"))
        assert apart.read_bytes() == beside.read_bytes()
    capsys.readouterr()


def test_the_folder_of_the_images_is_no_output(photographs, capsys):
    assert immunize_folder(photographs, photographs[0]) == 2
    assert "holds what is to be immunized" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["immunize", "--attack", "noise"], ["edit", "--prompt", "a", "--preset", "smoke"]])
def test_a_conversion_to_srgb_is_said(tmp_path, capsys, command):
    name, *options = command
    with Image.open(CASE.image_path) as image:
        image.save(tmp_path / "p3.png", icc_profile=profiles.matrix_profile("Display P3", profiles.DISPLAY_P3))
    assert main([name, str(tmp_path / "p3.png"), "-o", str(tmp_path / "x.png"), *options]) == 0
    assert "p3.png: converted from Display P3 to sRGB." in capsys.readouterr().err


def test_files_and_folders_are_not_mixed(photographs, tmp_path, capsys):
    images, masks = photographs
    (tmp_path / "file.png").write_bytes(b"")
    assert main(["immunize", str(images), "-o", str(tmp_path / "file.png")]) == 2
    assert "must be folders too" in capsys.readouterr().err
    assert main(["immunize", str(images / "0.png"), "--mask", str(masks), "-o", str(tmp_path / "x.png")]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_attacks_are_listed_with_what_they_see_and_cost(capsys):
    assert main(["attacks", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(ATTACKS.names()) - {"folder"}
    assert rows["dayn"]["sees"] == "model, mask, prompt"
    assert rows["noise"]["gradient_evaluations"] == 0
    assert rows["diffusion"]["gradient_through"] == "encoder, 4 × UNet, decoder"
    assert {row["budget"] for row in rows.values()} == {"ℓ∞ 16/255"}
    assert main(["attacks"]) == 0
    assert "DiffusionGuard" in capsys.readouterr().out


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


def test_an_edit_that_overflows_is_not_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(LatentDiffusion, "decode", lambda self, latents: torch.full((1, 3, 64, 64), torch.nan))
    command = ["edit", str(CASE.image_path), "--prompt", "a dog", "-o", str(tmp_path / "x.png"), "--preset", "smoke"]
    assert main(command) != 0
    assert "by img2img is not finite in float32" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


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
    assert "Left out here: The weights of AlexNet are not in" in facts["metrics"]["lpips"]
    assert facts["purifiers"]["jpeg"].endswith("With quality=75.0.")
    assert facts["purifiers"]["bit-depth"].endswith("With bits=4. Not for eot: no useful gradient.")
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
        (["immunize", "{image}", "-o", "{out}/x.png", "--attack", "noise,budget=3"], "Did you mean 3/255"),
        (["immunize", "{image}", "-o", "{out}/x.png", "--attack", "dayn"], "Give it with --prompt"),
        (["immunize", "{image}", "-o", "{out}/x.png", "--attack", "dayn", "--prompt", " "], "Give it with --prompt"),
        (["immunize", "{image}", "-o", "{out}/x.png", "--attack", "diffusion,denoising_steps=1000"], "1 to 999"),
        (["immunize", "{image}", "--mask", "{small}", "-o", "{out}/x.png"], "and the mask 32 × 32"),
        (["immunize", "{image}", "--mask", "{white}", "-o", "{out}/x.png"], "edits every pixel"),
        (["immunize", "{odd}", "-o", "{out}/x.png"], "multiples of 16"),
        (["immunize", "{image}", "-o", "{out}/new/x.png"], "There is no folder"),
        (["immunize", "{copy}", "-o", "{copy}"], "would overwrite"),
        (["immunize", "{image}", "--mask", "{copy}", "-o", "{copy}"], "would overwrite"),
        (["edit", "{copy}", "--prompt", "a dog", "-o", "{copy}"], "would overwrite"),
        (["edit", "{image}", "--original", "{copy}", "--prompt", "a dog", "-o", "{copy}"], "would overwrite"),
        (["edit", "{image}", "--prompt", "a dog", "-o", "{out}/new/x.png"], "There is no folder"),
        (
            ["immunize", "{image}", "-o", "{out}/x.png", "--seed", "-1"],
            "The seed is -1; expected a whole number from 0",
        ),
        (
            ["edit", "{image}", "--prompt", "a", "-o", "{out}/x.png", "--seed", str(2**64)],
            "The seed is 18446744073709551616",
        ),
        (
            ["run", "--preset", "smoke", "--store", "{out}/store", "--seed", str(2**63)],
            "The seed is 9223372036854775808",
        ),
        (["immunize", "{image}", "-o", "{out}/x.png", "--attack", "noise,budget=0.003"], "less than one level"),
        (["immunize", "{image}", "--mask", "{noise}", "-o", "{out}/x.png"], "is no mask"),
        (["immunize", "{image}", "--mask", "{white}", "--mask-from", "opaque", "-o", "{out}/x.png"], "no transparency"),
        (["immunize", "{image}", "--mask", "{thin}", "-o", "{out}/x.png"], "thin.png: the mask's region is too thin"),
        (["edit", "{image}", "--mask", "{thin}", "--prompt", "a", "-o", "{out}/x.png"], "region is too thin"),
        (["cost", "--size", "0"], "--size is 0; expected a positive multiple of 64"),
        (
            ["cost", "--size", "100"],
            "--size is 100; expected a positive multiple of 64, as the model needs it, such as 128",
        ),
        (["cost", "--size", "-64", "--model", "inpaint-a"], "--size is -64"),
        (["edit", "{odd}", "--prompt", "a dog", "-o", "{out}/x.png"], "multiples of 16"),
        (["edit", "{image}", "--prompt", "a dog", "-o", "{out}/x.png", "--preset", "big"], "Unknown preset 'big'"),
        (["edit", "{image}", "--original", "{small}", "--prompt", "a dog", "-o", "{out}/x.png"], "32 × 32"),
        (["run", "--model", "inpaint-z", "--store", "{out}/store"], "Did you mean 'inpaint-b' or 'inpaint-a'?"),
        (["run", "--dataset", "emoji", "--store", "{out}/store"], "Unknown dataset 'emoji'"),
        (["run", "--attack", "no/such.py:A", "--store", "{out}/store"], "There is no file no/such.py"),
        (["run", "--extractor", "vgg", "--preset", "smoke", "--store", "{out}/store"], "Unknown feature extractor"),
        (["run", "--clip", "vit", "--preset", "smoke", "--store", "{out}/store"], "Unknown CLIP"),
        (["leaderboard", "--store", "{out}/none"], "There is no store in"),
        (["leaderboard", "--store", "{out}/none", "--export", "{out}/board.json"], "There is no store in"),
        (["leaderboard", "--board", "{out}"], "out holds no result"),
        (["leaderboard", "--board", "{out}/none.json"], "none.json holds no result"),
        (["leaderboard", "--board", "{image}"], "is no readable result"),
        (["gate", "--store", "{out}/none"], "There is no store in"),
    ],
)
def test_bad_input_gives_one_clear_error_and_writes_nothing(command, message, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    names = {"image": CASE.image_path, "out": out}
    thin = torch.zeros(1, 3, 64, 64)
    thin[..., 1, :] = 1
    for name, image in {
        "copy": CASE.image(),
        "noise": torch.rand(1, 3, 64, 64),
        "thin": thin,
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


def test_a_gpu_that_is_not_there_is_an_error_before_the_weights_are_looked_for(monkeypatch, capsys, tmp_path):
    """Whatever takes --gpu. A machine without a GPU needs no other network, and no download of gigabytes."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("looked for weights"))
    (actions,) = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    taking = {name for name, parser in actions.choices.items() if "--gpu" in parser.format_help()}
    image = [str(CASE.image_path), "-o", str(tmp_path / "out.png")]
    commands = {"immunize": image, "edit": [*image, "--prompt", "a dog"]}
    assert taking >= {"run", "plan", "immunize", "edit", "seeds"}
    for name in taking:
        store = [] if name in commands else ["--store", str(tmp_path / "store")]
        assert main([name, *commands.get(name, []), *store, "--gpu"]) == 2
        assert "--gpu needs a CUDA device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [72, 90, 150])
def test_what_is_printed_is_as_wide_as_the_terminal(arguments, tmp_path, monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    store = arguments[arguments.index("--store") + 1]
    widths = {}
    for command in (["leaderboard", "--store", store], ["gate", "--store", store], ["attacks"], ["info"]):
        assert main(command) in (0, 1)
        widths[command[0]] = max(map(len, capsys.readouterr().out.splitlines()))
    # A path has no place to break.
    assert max(widths[name] for name in ("leaderboard", "gate", "attacks")) <= columns
    assert widths["leaderboard"] > columns - 30
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= columns


def test_without_a_terminal_lines_have_a_width_that_does_not_depend_on_where_it_runs(arguments):
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = "from photoguard_eval.reports import terminal_width; print(terminal_width())"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "120"


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


def test_a_reader_who_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "photoguard_eval", "attacks"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_console_script_is_installed():
    done = subprocess.run([sys.executable, "-m", "photoguard_eval", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("photoguard-eval ")
