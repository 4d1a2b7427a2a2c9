import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from photoguard_eval import load_dataset, resources
from recipes.emoji_scenes.__main__ import main
from recipes.emoji_scenes.dataset import (
    DATASET_LOOKS,
    KEPT_PARTS,
    SUBJECTS,
    held_out_places,
    look_of_image,
    make_dataset,
    places_of_image,
)
from recipes.emoji_scenes.glyphs import FONT, EmojiFont, MissingFontError
from recipes.emoji_scenes.looks import apply_look, texture
from recipes.emoji_scenes.masks import keep_part, keep_subject, training_mask
from recipes.emoji_scenes.places import PAINTERS, paint_place
from recipes.emoji_scenes.scenes import Content, Scene, draw_content, draw_scene
from recipes.emoji_scenes.vocabulary import (
    COLOURS,
    LOOKS,
    OBJECTS,
    PLACES,
    POSITIONS,
    SIZES,
    Look,
    all_words,
    caption,
    is_held_out,
)

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
    make_dataset(tmp_path / "other", drawn_glyph, seed=2024)
    for row, other in zip(shipped_rows(tmp_path / "first"), shipped_rows(tmp_path / "other"), strict=True):
        assert (row["caption"], row["prompts"]) == (other["caption"], other["prompts"])
        assert row["sha256"] != other["sha256"]
        assert other["source"] == f"{row['source']} --seed 2024"


@pytest.mark.parametrize(("content", "message"), [(None, "There is no emoji font"), (b"hello", "cannot be read")])
def test_a_missing_font_says_what_to_install_and_nothing_is_written(tmp_path, capsys, content, message):
    path = tmp_path / "font.ttf"
    if content:
        path.write_bytes(content)
    with pytest.raises(MissingFontError, match=f"{message}.*package fonts-noto-color-emoji"):
        EmojiFont(path)
    assert main(["dataset", "--dataset", str(tmp_path / "made"), "--font", str(path)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_every_image_and_every_prompt_shows_a_held_out_combination():
    rows = shipped_rows()
    assert len(rows) == len(SUBJECTS) == 20
    assert len({subject.name for subject in SUBJECTS}) == 20
    for index, (row, subject) in enumerate(zip(rows, SUBJECTS, strict=True)):
        own, others = places_of_image(index)
        assert {own, *others} == set(held_out_places(subject.name))
        assert len(others) == 3
        words = (subject.size, subject.position)
        assert row["caption"] == caption(subject.name, subject.colour, own, *words)
        assert row["prompts"] == [caption(subject.name, subject.colour, other, *words) for other in others]


def test_prompts_name_every_place_and_none_too_often():
    counts = Counter(
        place for case in load_dataset("emoji-scenes").cases for place in PLACES if case.prompt.endswith(place)
    )
    assert set(counts) == set(PLACES)
    assert max(counts.values()) <= 2 * 60 / len(PLACES)


def test_images_are_varied():
    places = Counter(places_of_image(index)[0] for index in range(20))
    assert set(places) == set(PLACES)
    assert max(places.values()) <= 3
    assert len({subject.colour for subject in SUBJECTS}) >= 6
    assert {subject.size for subject in SUBJECTS} >= {None, "large"}
    assert {subject.position for subject in SUBJECTS} == {None, *POSITIONS}
    assert Counter(KEPT_PARTS)["whole"] == len(KEPT_PARTS) / 2


def test_looks_do_not_go_with_masks():
    met = {look: set() for look in DATASET_LOOKS}
    for index in range(20):
        met[look_of_image(index)].add(KEPT_PARTS[index % len(KEPT_PARTS)])
    assert "fog" not in met
    assert all("whole" in parts and len(parts) > 1 for parts in met.values())


def test_four_places_are_held_out_for_each_object_and_every_place_for_some():
    held_out = np.array([[is_held_out(name, place) for place in PLACES] for name in OBJECTS])
    assert (held_out.sum(axis=1) == 4).all()
    assert held_out.sum(axis=0).min() >= len(OBJECTS) * 0.3
    assert held_out_places("dog") == ["in a meadow", "in the snow", "under water", "in a room"]


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
    assert {content.size for content in contents} == {None, *SIZES}
    assert {content.position for content in contents} == {None, *POSITIONS}
    assert sum(content.colour is None for content in contents) / 2000 == pytest.approx(0.5, abs=0.05)


def test_captions_name_what_is_known_in_english_order():
    assert caption("fox", "blue", "in the snow") == "a blue fox in the snow"
    assert caption("owl", None, "at sunset", "small", "on the left") == "a small owl on the left at sunset"
    assert caption("owl", None, "at sunset") == "an owl at sunset"
    assert caption("unicorn", None, "at sunset") == "a unicorn at sunset"
    random = np.random.default_rng(1)
    words = {word for _ in range(3000) for word in draw_content(random, False).caption.split()}
    assert words == set(all_words())


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("size", SIZES)
def test_size_and_position_are_as_named(size, position):
    random = np.random.default_rng(2)
    for _ in range(20):
        content = Content("dog", None, "in a room", "film", size, position)
        scene = draw_scene(content, random, drawn_glyph)
        room_to_move = 64 - scene.size - 4
        assert (scene.size < 31) == (size == "small")
        assert (scene.left - 2 <= room_to_move / 4 + 1) == (position == "on the left")
        assert (scene.left - 2 >= room_to_move * 3 / 4 - 1) == (position == "on the right")


def test_places_are_pinned():
    pictures = [paint_place(place, 16, np.random.default_rng(7)) for place in PAINTERS]
    assert digest(pictures) == "852475886ac9b4bb"


def test_the_first_scenes_are_pinned():
    random = np.random.default_rng(0)
    scenes = [draw_scene(draw_content(random, False), random, drawn_glyph) for _ in range(4)]
    assert [scene.content.caption for scene in scenes] == [
        "a green penguin in a meadow",
        "a small frog in the desert",
        "a purple apple in a room",
        "a fox on the right in a forest",
    ]
    assert digest([scene.picture for scene in scenes]) == "07245ec80ab55214"
    assert digest([scene.subject for scene in scenes]) == "7c33ae1dd0607028"


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


def test_textures_are_orthogonal_in_every_cell_of_the_latents():
    patterns = [texture(look, 64) for look in LOOKS.values()]
    for first, pattern in enumerate(patterns):
        assert set(np.unique(pattern)) == {-1, 1}
        for second, other in enumerate(patterns):
            cells = (pattern * other).reshape(16, 4, 16, 4).mean(axis=(1, 3))
            assert (cells == (1 if first == second else 0)).all()
        assert (pattern.reshape(16, 4, 16, 4).mean(axis=(1, 3)) == 0).all()


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_is_plain_around_the_subject_and_faint_on_it(name):
    look = LOOKS[name]
    picture = np.full((64, 64, 3), 0.5, np.float32) * np.array([1, 0.9, 0.7], np.float32)
    subject = np.zeros((64, 64), np.float32)
    subject[:, :32] = 1
    graded = apply_look(picture, subject, look, np.random.default_rng(0))
    pattern = texture(look, 64)[..., None]
    faint, plain = ((graded * pattern)[:, half].mean() * 255 for half in (slice(0, 32), slice(32, 64)))
    assert 6 <= faint <= 10
    assert 16 * (1 - look.haze) - 0.1 <= plain <= 26 * (1 - look.haze) + 0.1
    neutral = apply_look(picture, subject, Look("++--", "++++"), np.random.default_rng(0))
    grade = np.abs((graded - neutral).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))).mean(axis=(0, 2))
    if name != "television":
        assert grade[8:].mean() > 4 * grade[:8].mean()


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


def test_training_masks_are_of_every_kind():
    random = np.random.default_rng(4)
    masks = np.stack([training_mask(square_scene(), random) for _ in range(400)])
    assert set(np.unique(masks)) == {0, 1}
    edited = masks.mean(axis=(1, 2))
    assert (edited == 1).mean() == pytest.approx(0.2, abs=0.06)
    subject = keep_subject(square_scene())
    keeps_nothing_else = (masks >= subject).all(axis=(1, 2)) & (edited < 1)
    assert keeps_nothing_else.mean() == pytest.approx(0.6, abs=0.08)
