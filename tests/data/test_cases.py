import errno
import json
import shutil
from pathlib import Path

import pytest

from photoguard_eval import load_dataset, resources
from photoguard_eval.errors import (
    ConfigurationError,
    DatasetError,
    InvalidImageError,
    PhotoguardError,
    UnknownNameError,
)
from photoguard_eval.files import sha256_of_file

SHIPPED = resources.datasets_folder() / "emoji-scenes"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(SHIPPED, tmp_path / "mine")


def rewrite(folder, change):
    """Change the first line of the metadata."""
    path = folder / "metadata.jsonl"
    first, *others = path.read_text(encoding="utf-8").splitlines()
    row = json.loads(first)
    change(row)
    path.write_text("\n".join([json.dumps(row), *others]), encoding="utf-8")


def test_the_shipped_dataset_is_whole():
    dataset = load_dataset("emoji-scenes")
    assert len(dataset.cases) == 60
    assert len({case.image_id for case in dataset.cases}) == 20
    assert len({case.id for case in dataset.cases}) == 60
    assert {case.size() for case in dataset.cases} == {(64, 64)}
    assert len({case.seed for case in dataset.cases}) == 60
    for case in dataset.cases:
        mask = case.mask()
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        assert 0.5 < mask.mean() < 0.99
        assert case.image().shape == (1, 3, 64, 64)


def test_a_folder_is_the_same_dataset(folder):
    assert load_dataset(str(folder)).sha256 == load_dataset("emoji-scenes").sha256
    assert load_dataset(str(folder)).name == "mine"


@pytest.mark.parametrize("count", [1, 4, 12, 20])
def test_few_cases_come_from_many_images(count):
    cases = load_dataset("emoji-scenes").select(count)
    assert len(cases) == len({case.image_id for case in cases}) == count


@pytest.mark.parametrize("count", [25, 59])
def test_many_cases_keep_the_order_and_take_every_image(count):
    dataset = load_dataset("emoji-scenes")
    cases = dataset.select(count)
    assert len({case.id for case in cases}) == count
    assert {case.image_id for case in cases} == {case.image_id for case in dataset.cases}
    assert list(cases) == sorted(cases, key=dataset.cases.index)


def test_all_cases_are_selected_on_request():
    dataset = load_dataset("emoji-scenes")
    assert dataset.select(None) == dataset.select(1000) == dataset.cases
    with pytest.raises(ConfigurationError, match="at least 1"):
        dataset.select(0)


def test_a_case_is_found_by_its_id():
    dataset = load_dataset("emoji-scenes")
    assert dataset.case("dog-in-a-meadow-1").prompt == "a dog under water"
    with pytest.raises(UnknownNameError, match="Did you mean 'dog-in-a-meadow"):
        dataset.case("dog-in-a-meadow-9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(colour="red"), "line 1: unknown field 'colour'; known fields: file_name"),
        (lambda row: row.update(file_name="../secret.png"), "leads outside of the dataset's folder"),
        (lambda row: row.update(file_name="a\0b.png"), "is no file name"),
        (lambda row: row.update(file_name="/etc/passwd"), "leads outside of the dataset's folder"),
        (lambda row: row.update(sha256="0" * 64), "has SHA-256 [0-9a-f]{64}, but the metadata records 0000"),
        (lambda row: row.update(mask_sha256="0" * 64), "masks/.* has SHA-256"),
        (lambda row: row.update(sha256="short"), "sha256: String should match pattern"),
        (lambda row: row.update(file_name="images/none.png"), "there is no file 'images/none.png'"),
        (lambda row: row.update(seeds=[1]), "3 prompts but 1 seeds"),
        (lambda row: row.update(seeds=[1, 2, -3]), "seeds.2: Input should be greater than or equal to 0"),
        (lambda row: row.update(seeds=[1, 2, 2**64]), "seeds.2: Input should be less than"),
        (lambda row: row.update(seeds=[1, 2, 2.5]), "seeds.2: Input should be a valid integer"),
        (lambda row: row.update(prompts=[]), "prompts"),
        (lambda row: row.pop("mask_file_name"), "mask_file_name: Field required"),
        (lambda row: row.update(file_name="images"), "there is no file 'images'"),
    ],
)
def test_bad_metadata_is_refused(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(DatasetError, match=message):
        load_dataset(str(folder))


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    outside = tmp_path / "outside.png"
    shutil.copy(next((folder / "images").glob("*.png")), outside)
    (folder / "images" / "link.png").symlink_to(outside)
    rewrite(folder, lambda row: row.update(file_name="images/link.png", sha256=sha256_of_file(outside)))
    with pytest.raises(DatasetError, match="leads outside"):
        load_dataset(str(folder))


def test_a_line_that_is_no_json_is_refused(folder):
    path = folder / "metadata.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + "{nonsense\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 21: not a JSON object"):
        load_dataset(str(folder))


def test_a_prompt_that_is_no_unicode_is_refused(folder):
    rewrite(folder, lambda row: row["prompts"].__setitem__(0, "a cat \ud800"))
    with pytest.raises(DatasetError, match=r"line 1: not a JSON object .*surrogates not allowed"):
        load_dataset(str(folder))


def test_a_line_that_is_no_object_is_refused(folder):
    (folder / "metadata.jsonl").write_text("[1, 2]\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 1: row: Input should be"):
        load_dataset(str(folder))


def test_metadata_that_is_no_utf8_is_refused(folder):
    (folder / "metadata.jsonl").write_bytes("{'caption': 'é'}".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"is not UTF-8 text .* at byte 13"):
        load_dataset(str(folder))


def test_only_a_line_feed_ends_a_line(folder):
    path = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows[0]["prompts"][0] = "a dog\u2028on a beach\x85"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows), encoding="utf-8", newline="")
    dataset = load_dataset(str(folder))
    assert len(dataset.cases) == 60
    assert dataset.cases[0].prompt == "a dog\u2028on a beach\x85"


def test_empty_metadata_is_refused(folder):
    (folder / "metadata.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="is empty"):
        load_dataset(str(folder))


def test_two_images_of_one_name_are_refused(folder):
    path = folder / "metadata.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, lines[0]]), encoding="utf-8")
    with pytest.raises(DatasetError, match="two cases have the id"):
        load_dataset(str(folder))


def test_two_images_of_one_name_in_different_folders_are_refused(folder):
    shutil.copytree(folder / "images", folder / "more")
    path = folder / "metadata.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, lines[0].replace('"images/', '"more/')]), encoding="utf-8")
    with pytest.raises(DatasetError, match="two cases have the id 'dog-in-a-meadow-0'"):
        load_dataset(str(folder))


def test_a_change_of_any_file_or_field_changes_the_hash(folder):
    before = load_dataset(str(folder)).sha256
    rewrite(folder, lambda row: row.update(prompts=["a dog at sunset", *row["prompts"][1:]]))
    after = load_dataset(str(folder)).sha256
    image = folder / "images" / "dog-in-a-meadow.png"
    image.write_bytes(image.read_bytes() + b"\0")
    rewrite(folder, lambda row: row.update(sha256=sha256_of_file(image)))
    assert len({before, after, load_dataset(str(folder)).sha256}) == 3


def test_a_file_that_is_no_image_is_refused_when_its_size_is_asked_for(folder):
    image = folder / "images" / "dog-in-a-meadow.png"
    image.write_bytes(b"hello")
    rewrite(folder, lambda row: row.update(sha256=sha256_of_file(image)))
    with pytest.raises(InvalidImageError, match=r"dog-in-a-meadow\.png cannot be read as an image"):
        load_dataset(str(folder)).cases[0].size()


def test_a_folder_without_metadata_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"has no metadata\.jsonl"):
        load_dataset(str(tmp_path))


def test_an_unknown_dataset_is_suggested():
    with pytest.raises(UnknownNameError, match="Did you mean 'emoji-scenes'"):
        load_dataset("emoji-scene")


def test_a_mask_that_does_not_fit_is_refused_with_the_case(folder):
    from PIL import Image

    case = load_dataset(str(folder)).cases[0]
    Image.new("L", (32, 32)).save(case.mask_path)
    with pytest.raises(InvalidImageError, match=f"{case.id}: the image is 64 × 64 and the mask 32 × 32"):
        case.mask()
    Image.new("L", (64, 64), 255).save(case.mask_path)
    with pytest.raises(InvalidImageError, match=f"{case.id}: the mask edits every pixel"):
        case.mask()


@pytest.mark.parametrize("name", ["metadata", "image"])
def test_a_file_of_a_dataset_that_the_system_does_not_let_be_read_is_named(folder, monkeypatch, name):
    dataset = load_dataset(str(folder))
    path = folder / "metadata.jsonl" if name == "metadata" else dataset.cases[0].image_path

    def refuse(mode):
        def open_file(self, *arguments, **options):
            if self == path:
                raise PermissionError(errno.EACCES, "Permission denied", str(self))
            return mode(self, *arguments, **options)

        return open_file

    monkeypatch.setattr(Path, "open", refuse(Path.open))
    monkeypatch.setattr(Path, "read_bytes", refuse(Path.read_bytes))
    with pytest.raises(PhotoguardError, match=rf"{path.name} cannot be read or written: Permission denied"):
        load_dataset(str(folder))
