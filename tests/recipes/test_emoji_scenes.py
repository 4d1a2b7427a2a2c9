import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from photoguard_eval import load_dataset, resources
from recipes.emoji_scenes.__main__ import main
from recipes.emoji_scenes.dataset import PARTS, SUBJECTS, held_out_place, make_dataset
from recipes.emoji_scenes.glyphs import FONT, EmojiFont, MissingFontError
from recipes.emoji_scenes.looks import apply_look, texture
from recipes.emoji_scenes.masks import keep_part, keep_subject
from recipes.emoji_scenes.places import PAINTERS, paint_place
from recipes.emoji_scenes.scenes import Content, Scene, draw_content, draw_scene
from recipes.emoji_scenes.vocabulary import COLOURS, LOOKS, OBJECTS, PLACES, caption, is_held_out

SHIPPED = resources.datasets_folder() / "emoji-scenes"


def drawn_glyph(name, side):
    """Stand in for the font: a ring whose colour depends on the object."""
    row, column = (np.mgrid[0:side, 0:side] + 0.5) / side - 0.5
    distance = np.hypot(row, column)
    shade = list(OBJECTS).index(name) / len(OBJECTS)
    glyph = np.stack([np.full_like(row, shade), row + 0.5, column + 0.5, (distance < 0.5) & (distance > 0.1)], axis=-1)
    return glyph.astype(np.float32)


def digest(pictures):
    return hashlib.sha256(np.round(np.stack(pictures) * 100).astype(np.int16).tobytes()).hexdigest()[:16]


def shipped_rows(folder=SHIPPED):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_dataset_is_made_again_bit_by_bit(tmp_path):
    if not FONT.is_file():
        pytest.skip("needs the font of Debian's package fonts-noto-color-emoji")
    font = EmojiFont()
    if not font.is_the_published_one:
        pytest.skip(f"{FONT} is another version of the font than the published dataset was drawn with")
    make_dataset(tmp_path, font)
    made, shipped = shipped_rows(tmp_path), shipped_rows()
    for row, expected in zip(made, shipped, strict=True):
        for field in ("file_name", "mask_file_name"):
            pixels = [np.asarray(Image.open(folder / row[field])) for folder in (tmp_path, SHIPPED)]
            assert np.array_equal(*pixels), row[field]
        # Hashes of whole files depend on Pillow's compression besides.
        assert {**row, "sha256": "", "mask_sha256": ""} == {**expected, "sha256": "", "mask_sha256": ""}
    assert len(load_dataset(str(tmp_path)).cases) == 60


def test_the_dataset_is_made_the_same_twice_and_loads(tmp_path):
    for name in ("first", "second"):
        make_dataset(tmp_path / name, drawn_glyph)
    assert load_dataset(str(tmp_path / "first")).sha256 == load_dataset(str(tmp_path / "second")).sha256
    for row in shipped_rows(tmp_path / "first"):
        assert (SHIPPED / row["file_name"]).is_file()


@pytest.mark.parametrize(("content", "message"), [(None, "There is no emoji font"), (b"hello", "cannot be read")])
def test_a_missing_font_says_what_to_install_and_nothing_is_written(tmp_path, capsys, content, message):
    path = tmp_path / "font.ttf"
    if content:
        path.write_bytes(content)
    with pytest.raises(MissingFontError, match=f"{message}.*package fonts-noto-color-emoji"):
        EmojiFont(path)
    assert main(["dataset", "--output", str(tmp_path / "made"), "--font", str(path)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_every_image_shows_a_held_out_combination_and_every_prompt_another_place():
    rows = shipped_rows()
    assert len(rows) == len(SUBJECTS) == 20
    assert len({subject.name for subject in SUBJECTS}) == 20
    for row, subject in zip(rows, SUBJECTS, strict=True):
        place = held_out_place(subject.name)
        assert row["caption"] == caption(subject.name, subject.colour, place)
        named = [other for prompt in row["prompts"] for other in PLACES if prompt.endswith(other)]
        assert len(set(named)) == 3
        assert place not in named
        assert row["prompts"] == [caption(subject.name, subject.colour, other) for other in named]


def test_prompts_name_every_place_and_none_too_often():
    counts = Counter(
        place for case in load_dataset("emoji-scenes").cases for place in PLACES if case.prompt.endswith(place)
    )
    assert set(counts) == set(PLACES)
    assert max(counts.values()) <= 2 * 60 / len(PLACES)


def test_images_are_varied():
    places = Counter(held_out_place(subject.name) for subject in SUBJECTS)
    assert set(places) == set(PLACES)
    assert max(places.values()) <= 3
    assert len({subject.colour for subject in SUBJECTS}) >= 6
    assert Counter(PARTS)["whole"] == len(PARTS) / 2


def test_the_rule_holds_out_about_one_in_sixteen_and_one_place_at_most():
    held_out = [[is_held_out(name, place) for place in PLACES] for name in OBJECTS]
    assert sum(map(sum, held_out)) / np.size(held_out) == pytest.approx(1 / 16, abs=0.01)
    assert max(map(sum, held_out)) == 1
    assert held_out[0][0]
    assert held_out[16][0]
    assert held_out[1][3]


def test_training_and_held_out_contents_do_not_mix():
    random = np.random.default_rng(0)
    training = [draw_content(random, False) for _ in range(300)]
    assert not any(is_held_out(content.name, content.place) for content in training)
    assert all(is_held_out(content.name, content.place) for content in (draw_content(random, True) for _ in range(50)))


def test_every_object_place_colour_and_look_is_drawn():
    random = np.random.default_rng(0)
    contents = [draw_content(random, False) for _ in range(2000)]
    assert {content.name for content in contents} == set(OBJECTS)
    assert {content.place for content in contents} == set(PLACES)
    assert {content.look for content in contents} == set(LOOKS)
    assert {content.colour for content in contents} == {None, *COLOURS}
    assert sum(content.colour is None for content in contents) / 2000 == pytest.approx(0.5, abs=0.05)


def test_an_object_without_a_held_out_place_is_refused():
    with pytest.raises(ValueError, match="choose another subject"):
        held_out_place("fox")


def test_places_are_pinned():
    pictures = [paint_place(place, 16, np.random.default_rng(7)) for place in PAINTERS]
    assert digest(pictures) == "852475886ac9b4bb"


def test_the_first_scenes_are_pinned():
    random = np.random.default_rng(0)
    scenes = [draw_scene(draw_content(random, False), random, drawn_glyph) for _ in range(4)]
    assert [scene.content.caption for scene in scenes] == [
        "a rose under water",
        "a purple apple in a room",
        "a red snake in the desert",
        "a red pig under water",
    ]
    assert digest([scene.picture for scene in scenes]) == "dd10df65ec85468a"
    assert digest([scene.subject for scene in scenes]) == "0199b68cc15a86a8"


def test_scenes_stay_in_range_and_frame():
    random = np.random.default_rng(3)
    for _ in range(100):
        scene = draw_scene(draw_content(random, held_out=False), random, drawn_glyph)
        assert scene.picture.shape == (64, 64, 3)
        assert scene.picture.dtype == np.float32
        assert 0 <= scene.picture.min() <= scene.picture.max() <= 1
        rows, columns = np.nonzero(scene.subject)
        assert scene.top <= rows.min() <= rows.max() < scene.top + scene.size <= 62
        assert scene.left <= columns.min() <= columns.max() < scene.left + scene.size <= 63


@pytest.mark.parametrize("name", [look.texture for look in LOOKS.values()])
def test_textures_have_mean_zero_and_are_faint_only_by_their_factor(name):
    pattern = texture(name, 64)
    assert abs(pattern.mean()) < 1e-5
    assert np.abs(pattern).max() == (0 if name == "" else pytest.approx(1, abs=0.55))


@pytest.mark.parametrize("look", [look for name, look in LOOKS.items() if name != "plain"])
def test_a_look_changes_the_surroundings_more_than_the_subject_and_marks_both(look):
    gray = np.full((64, 64, 3), 0.5, np.float32) * np.array([1, 0.9, 0.8], np.float32)
    subject = np.zeros((64, 64), np.float32)
    subject[:, :32] = 1
    change = apply_look(gray, subject, look, np.random.default_rng(0)) - apply_look(
        gray, subject, LOOKS["plain"], np.random.default_rng(0)
    )
    assert np.abs(change[:, 32:].mean((0, 1))).max() > 1.5 * np.abs(change[:, :32].mean((0, 1))).max()
    for half in (change[:, :32], change[:, 32:]):
        assert 4 / 255 < half.std(axis=(0, 1)).max() <= 15 / 255


def square_scene():
    subject = np.zeros((64, 64), np.float32)
    subject[16:48, 16:48] = 1
    return Scene(np.zeros((64, 64, 3), np.float32), subject, Content("dog", None, "in a room", "plain"), 16, 16, 32)


def test_no_rim_of_the_place_is_kept():
    kept = 1 - keep_subject(square_scene())
    assert kept.sum() == 30 * 30
    assert kept[17:47, 17:47].all()


@pytest.mark.parametrize(
    ("part", "share", "corner"),
    [("whole", 1.0, (46, 46)), ("top", 0.55, (17, 46)), ("left", 0.55, (46, 17)), ("right", 0.55, (46, 46))],
)
def test_a_part_of_the_subject_is_kept(part, share, corner):
    kept = 1 - keep_part(square_scene(), part)
    assert kept.sum() == pytest.approx(share * 30 * 30, rel=0.06)
    assert kept[corner] == 1
