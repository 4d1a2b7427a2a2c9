"""What lies in a folder: nothing that may be a photograph is passed over in silence."""

import pytest
from PIL import Image

from photoguard_eval.errors import InvalidImageError
from photoguard_eval.images.folders import by_name, look_into, mask_of

FORMATS = {
    "a.JPG": "JPEG",
    "b.jpe": "JPEG",
    "c.jfif": "JPEG",
    "d.gif": "GIF",
    "e.BMP": "BMP",
    "f.tif": "TIFF",
    "g.webp": "WEBP",
    "h.png": "PNG",
}


@pytest.fixture
def folder(tmp_path):
    for name, kind in FORMATS.items():
        Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / name, format=kind)
    return tmp_path


def names(paths):
    return [path.name for path in paths]


def test_every_format_is_taken_in_upper_and_lower_case(folder):
    contents = look_into(folder)
    assert names(contents.images) == list(FORMATS)
    assert (contents.masks, contents.left_out) == ({}, ())


def test_what_is_no_picture_is_passed_over(folder):
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._a.JPG", "notes.txt", "README"):
        (folder / name).write_text("text")
    (folder / "empty").mkdir()
    contents = look_into(folder)
    assert names(contents.images) == list(FORMATS)
    assert contents.left_out == ()


def test_what_may_be_a_picture_and_is_not_taken_is_named_with_its_reason(folder):
    (folder / "raw.NEF").write_bytes(b"raw")
    (folder / "broken.png").write_bytes(b"text")
    (folder / "a.JPG").rename(folder / "a")
    (folder / "inside").mkdir()
    (folder / "h.png").rename(folder / "inside" / "h.png")
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 255)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    contents = look_into(folder)
    assert names(contents.images) == list(FORMATS)[1:-1]
    reasons = {left.path.name: left.reason for left in contents.left_out}
    assert list(reasons) == ["a", "broken.png", "inside", "moving.gif", "raw.NEF"]
    for name, reason in {
        "a": "does not end as one's",
        "broken.png": "cannot be read as an image",
        "inside": "is a folder inside of the folder",
        "moving.gif": "is animated",
        "raw.NEF": "of a format that is not read",
    }.items():
        assert str(folder / name) in reasons[name]
        assert reason in reasons[name]
    assert names(left.path for left in look_into(folder, apart=[folder / "inside"]).left_out) == [
        name for name in reasons if name != "inside"
    ]


def test_a_mask_beside_its_photograph_is_no_photograph(folder):
    Image.new("L", (8, 8)).save(folder / "a-mask.png")
    Image.new("L", (8, 8)).save(folder / "carnival-mask.png")
    contents = look_into(folder)
    assert names(contents.images) == sorted([*FORMATS, "carnival-mask.png"])
    assert {name: path.name for name, path in contents.masks.items()} == {"a": "a-mask.png"}


def test_masks_are_found_by_their_image_s_name(folder):
    Image.new("L", (8, 8)).save(folder / "fox_mask.png")
    contents = look_into(folder)
    assert mask_of("a", contents) == folder / "a.JPG"
    assert mask_of("fox", contents) == folder / "fox_mask.png"
    assert mask_of("wolf", contents) is None


def test_two_files_of_a_name_are_refused(folder):
    with pytest.raises(InvalidImageError, match=r"a\.JPG and .*a\.png would both become a\.png\. Rename one"):
        by_name([folder / "a.JPG", folder / "a.png"], "would both become {}.png")
