"""Datasets of one's own: made whole or not at all, and checked file by file."""

import json
import unicodedata

import pytest
import torch
from PIL import Image

from photoguard_eval.app.main import main
from photoguard_eval.data.authoring import Provenance, create_dataset, resize_dataset
from photoguard_eval.data.cases import METADATA, load_dataset
from photoguard_eval.data.inspection import check_dataset
from photoguard_eval.errors import ConfigurationError, DatasetError, InvalidImageError
from photoguard_eval.files import sha256_of_file
from photoguard_eval.images.arrays import write_image
from tests import profiles

PROMPTS = "dog\ta dog on a beach\n\ndog\ta dog in a city\nboat\ta boat at sunset\n"


def save(folder, name, size=(64, 64), edited=0.5):
    """Write an image of noise, or where the name is in `masks` a mask that edits the upper part."""
    folder.mkdir(exist_ok=True)
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(len(name)))
    if folder.name == "masks":
        picture = torch.zeros(1, 3, *size)
        picture[:, :, : int(size[0] * edited)] = 1
    path = folder / f"{name}.png"
    write_image(path, picture)
    return path


@pytest.fixture
def parts(tmp_path):
    """Folders of images and masks, and a file of prompts."""
    for name in ("dog", "boat"):
        save(tmp_path / "images", name)
        save(tmp_path / "masks", name)
    (tmp_path / "prompts.tsv").write_text(PROMPTS, encoding="utf-8")
    return {"images": tmp_path / "images", "masks": tmp_path / "masks", "prompts": tmp_path / "prompts.tsv"}


def test_a_dataset_is_made_of_images_masks_and_prompts(parts, tmp_path):
    dataset = create_dataset(tmp_path / "pets", **parts, provenance=Provenance("CC0-1.0", "I", "my garden"))
    assert [(case.id, case.prompt, case.seed) for case in dataset.cases] == [
        ("dog-0", "a dog on a beach", 0),
        ("dog-1", "a dog in a city", 1),
        ("boat-0", "a boat at sunset", 2),
    ]
    assert (tmp_path / "pets/images/dog.png").read_bytes() == (parts["images"] / "dog.png").read_bytes()
    row = json.loads((tmp_path / "pets" / METADATA).read_text(encoding="utf-8").splitlines()[0])
    assert (row["license"], row["author"], row["source"]) == ("CC0-1.0", "I", "my garden")
    assert "license: CC0-1.0" in (tmp_path / "pets/README.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "masks", "pets", "prompts.tsv"]


def test_an_empty_folder_is_taken_and_a_full_one_is_not(parts, tmp_path):
    (tmp_path / "pets").mkdir()
    create_dataset(tmp_path / "pets", **parts, provenance=Provenance())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "pets").rglob("*")}
    with pytest.raises(DatasetError, match="pets is there and not empty"):
        create_dataset(tmp_path / "pets", **parts, provenance=Provenance())
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "pets").rglob("*")}


def spoil(parts, how):
    if how == "no mask":
        (parts["masks"] / "boat.png").unlink()
    elif how == "no prompt":
        save(parts["images"], "cat")
    elif how == "no image":
        parts["prompts"].write_text(PROMPTS + "cat\ta cat in the snow\n", encoding="utf-8")
    elif how == "no tab":
        parts["prompts"].write_text("dog a dog on a beach\n", encoding="utf-8")
    elif how == "no lines":
        parts["prompts"].write_text("\n", encoding="utf-8")
    elif how == "no file":
        parts["prompts"].unlink()
    elif how == "no folder":
        parts["images"] = parts["prompts"]
    elif how == "two of a name":
        Image.new("RGB", (64, 64)).save(parts["images"] / "dog.jpg")
    elif how == "another size":
        save(parts["masks"], "boat", (32, 64))
    elif how == "keeps all":
        save(parts["masks"], "boat", edited=0)
    elif how == "no image file":
        (parts["images"] / "boat.png").write_bytes(b"text")


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("no mask", DatasetError, "names boat, of which .*masks has no mask"),
        ("no image", DatasetError, "names cat, of which .*images has no image"),
        ("no prompt", DatasetError, "has no prompt for cat of"),
        ("no tab", DatasetError, "line 1: expected the image's name, a tab and a prompt"),
        ("no lines", DatasetError, "has no prompts"),
        ("no file", DatasetError, "cannot be read"),
        ("no folder", DatasetError, "is no folder"),
        ("two of a name", InvalidImageError, "have the same name, dog"),
        ("another size", InvalidImageError, "the image is 64 × 64 and the mask 64 × 32"),
        ("keeps all", InvalidImageError, "boat: the mask keeps every pixel"),
        ("no image file", DatasetError, "has no image.*boat.png cannot be read as an image"),
    ],
)
def test_what_does_not_belong_together_leaves_nothing_behind(parts, tmp_path, how, error, message):
    spoil(parts, how)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=message):
        create_dataset(tmp_path / "pets", **parts, provenance=Provenance())
    assert sorted(tmp_path.iterdir()) == before


def test_a_check_sums_up_and_remarks(parts, tmp_path):
    save(parts["images"], "dog", (64, 96))
    save(parts["masks"], "dog", (64, 96), edited=0.25)
    save(parts["images"], "fox")
    save(parts["masks"], "fox")
    (parts["images"] / "fox.png").write_bytes((parts["images"] / "boat.png").read_bytes())
    parts["prompts"].write_text(PROMPTS + "fox\ta fox\nfox\ta fox\n", encoding="utf-8")
    create_dataset(tmp_path / "pets", **parts, provenance=Provenance(license="CC0-1.0"))
    (tmp_path / "pets/README.md").unlink()
    summary = check_dataset(str(tmp_path / "pets"))
    assert (summary.images, summary.cases) == (3, 5)
    assert summary.sizes == {"96 × 64": 1, "64 × 64": 2}
    assert (summary.least_kept, summary.most_kept) == (0.5, 0.75)
    assert summary.remarks == (
        "3 of 3 images have no caption: dog, boat, fox.",
        "3 of 3 images have no author: dog, boat, fox.",
        "3 of 3 images have no source: dog, boat, fox.",
        "Sides that are no multiples of 64 do not suit every model: dog.",
        "The same image more than once: boat, fox.",
        "fox has the same prompt more than once.",
        "There is no README.md that says where the images come from.",
    )


def written_otherwise(parts, how):
    """Change how names are written, and nothing of what they mean."""
    if how == "byte order mark":
        parts["prompts"].write_text(PROMPTS, encoding="utf-8-sig")
    elif how == "endings":
        parts["prompts"].write_text(PROMPTS.replace("dog\t", "dog.png\t", 1), encoding="utf-8")
    elif how == "upper case":
        for folder in ("images", "masks"):
            (parts[folder] / "dog.png").rename(parts[folder] / "dog.PNG")
    elif how == "beside":
        for name in ("dog", "boat"):
            (parts["masks"] / f"{name}.png").rename(parts["images"] / f"{name}-mask.png")
        parts["masks"] = parts["images"]


@pytest.mark.parametrize("how", ["byte order mark", "endings", "upper case", "beside"])
def test_names_may_be_written_in_several_ways(parts, tmp_path, how):
    written_otherwise(parts, how)
    dataset = create_dataset(tmp_path / "pets", **parts, provenance=Provenance())
    assert [case.id for case in dataset.cases] == ["dog-0", "dog-1", "boat-0"]
    assert all(case.mask().mean() == 0.5 for case in dataset.cases)


@pytest.mark.parametrize(("files", "prompts"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
def test_accents_are_the_same_however_they_are_encoded(parts, tmp_path, files, prompts):
    name = "señorita-é"
    for folder in ("images", "masks"):
        (parts[folder] / "dog.png").rename(parts[folder] / f"{unicodedata.normalize(files, name)}.png")
    text = PROMPTS.replace("dog\t", f"{unicodedata.normalize(prompts, name)}\t")
    parts["prompts"].write_text(text, encoding="utf-8")
    dataset = create_dataset(tmp_path / "pets", **parts, provenance=Provenance())
    assert [case.id for case in dataset.cases] == [f"{name}-0", f"{name}-1", "boat-0"]
    # As the folder may come back from another system.
    image = dataset.cases[0].image_path
    image.rename(image.with_name(unicodedata.normalize("NFD", image.name)))
    again = load_dataset(str(tmp_path / "pets"))
    assert ([case.id for case in again.cases], again.sha256) == ([case.id for case in dataset.cases], dataset.sha256)


def test_masks_of_transparency_are_written_black_and_white(parts, tmp_path):
    for name in ("dog", "boat"):
        image = Image.open(parts["images"] / f"{name}.png").convert("RGBA")
        image.paste((0, 0, 0, 0), (0, 0, 64, 16))
        image.save(parts["masks"] / f"{name}.png")
    with pytest.raises(InvalidImageError, match="has transparent pixels"):
        create_dataset(tmp_path / "pets", **parts, provenance=Provenance())
    dataset = create_dataset(tmp_path / "pets", **parts, provenance=Provenance(), mask_source="transparent")
    assert dataset.cases[0].mask().mean() == 0.25


def test_a_check_remarks_on_thin_masks_and_other_colours(parts, tmp_path):
    thin, thinner = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    thin[..., 4, :] = 1
    thinner[..., 2, :] = 1
    write_image(parts["masks"] / "dog.png", thin)
    write_image(parts["masks"] / "boat.png", thinner)
    profile = profiles.matrix_profile("Display P3", profiles.DISPLAY_P3)
    Image.open(parts["images"] / "dog.png").save(parts["images"] / "dog.png", icc_profile=profile)
    create_dataset(tmp_path / "pets", **parts, provenance=Provenance("CC0-1.0", "I", "my garden"))
    assert check_dataset(str(tmp_path / "pets")).remarks[1:] == (
        "Masks too thin to edit anything with Stable Diffusion (8 pixels a latent): dog, boat.",
        "Masks too thin to edit anything with the embedded models (4 pixels a latent): boat.",
        "dog: converted from Display P3 to sRGB.",
    )


def test_a_check_finds_a_mask_that_keeps_everything(parts, tmp_path):
    save(parts["masks"], "dog", edited=0.25)
    create_dataset(tmp_path / "pets", **parts, provenance=Provenance())
    metadata = tmp_path / "pets" / METADATA
    mask = tmp_path / "pets/masks/boat.png"
    row = json.loads(metadata.read_text(encoding="utf-8").splitlines()[1])
    save(tmp_path / "pets/masks", "boat", edited=0)
    changed = metadata.read_text(encoding="utf-8").replace(row["mask_sha256"], sha256_of_file(mask))
    metadata.write_text(changed, encoding="utf-8")
    with pytest.raises(InvalidImageError, match="the mask keeps every pixel"):
        check_dataset(str(tmp_path / "pets"))


@pytest.mark.parametrize("name", ["emoji-scenes", "photos"])
def test_the_package_s_datasets_leave_nothing_to_remark(name):
    summary = check_dataset(name)
    assert (summary.images, summary.cases) == (20, 60)
    assert summary.remarks == ()


def test_the_commands_make_and_check_a_dataset(parts, tmp_path, capsys):
    options = [f"--{name}={path}" for name, path in parts.items()]
    assert main(["dataset", "init", str(tmp_path / "pets"), *options, "--license", "CC0-1.0"]) == 0
    assert "pets: 3 edits" in capsys.readouterr().out
    assert main(["dataset", "check", str(tmp_path / "pets")]) == 0
    printed = capsys.readouterr().out
    assert "pets: 2 images (2 of 64 × 64), 3 edits" in printed
    assert "The masks keep 50% to 50% of an image." in printed
    assert "Remark: 2 of 2 images have no caption: dog, boat." in printed
    assert main(["dataset", "check", "photos", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"] == {"512 × 512": 20}
    assert main(["dataset", "init", str(tmp_path / "pets"), *options]) != 0
    assert "not empty" in capsys.readouterr().err


def test_a_copy_at_another_size_keeps_everything_else(parts, tmp_path, capsys):
    save(parts["images"], "boat", (64, 128))
    save(parts["masks"], "boat", (64, 128))
    before = create_dataset(tmp_path / "pets", **parts, provenance=Provenance("CC0-1.0", "I", "my garden"))
    assert main(["dataset", "resize", str(tmp_path / "pets"), str(tmp_path / "large"), "--side", "192"]) == 0
    assert "3 edits" in capsys.readouterr().out
    after = load_dataset(str(tmp_path / "large"))
    assert [(case.id, case.prompt, case.seed) for case in after.cases] == [
        (case.id, case.prompt, case.seed) for case in before.cases
    ]
    assert {case.image_id: case.size() for case in after.cases} == {"dog": (192, 192), "boat": (192, 384)}
    for ours, theirs in zip(after.cases, before.cases, strict=True):
        assert ours.mask().mean() == pytest.approx(float(theirs.mask().mean()), abs=0.01)
        assert ours.image().mean() == pytest.approx(float(theirs.image().mean()), abs=0.01)
    assert "resized to 192 pixels" in (tmp_path / "large/README.md").read_text(encoding="utf-8")
    assert "CC0-1.0" in (tmp_path / "large" / METADATA).read_text(encoding="utf-8")


def test_a_copy_of_an_odd_size_or_over_another_is_refused(parts, tmp_path):
    create_dataset(tmp_path / "pets", **parts, provenance=Provenance())
    for side in (0, 100):
        with pytest.raises(ConfigurationError, match="multiple of 64"):
            resize_dataset(str(tmp_path / "pets"), tmp_path / "large", side)
    with pytest.raises(DatasetError, match="there and not empty"):
        resize_dataset(str(tmp_path / "pets"), tmp_path / "pets", 128)
    assert not (tmp_path / "large").exists()
