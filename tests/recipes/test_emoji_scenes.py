import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from photoguard_eval import load_dataset, resources
from recipes.emoji_scenes.dataset import SUBJECTS, held_out_place, make_dataset
from recipes.emoji_scenes.looks import texture
from recipes.emoji_scenes.masks import keep_part, keep_subject
from recipes.emoji_scenes.places import PAINTERS, paint_place
from recipes.emoji_scenes.scenes import FONT, Content, MissingFontError, Scene, draw_content, draw_scene
from recipes.emoji_scenes.vocabulary import LOOKS, OBJECTS, PLACES, caption, is_held_out

needs_font = pytest.mark.skipif(not FONT.is_file(), reason="needs the font of Debian's fonts-noto-color-emoji")
SHIPPED = resources.datasets_folder() / "emoji-scenes"


@needs_font
def test_the_dataset_is_made_again_bit_by_bit(tmp_path):
    make_dataset(tmp_path)
    assert (tmp_path / "metadata.jsonl").read_bytes() == (SHIPPED / "metadata.jsonl").read_bytes()
    for path in [*SHIPPED.glob("images/*.png"), *SHIPPED.glob("masks/*.png")]:
        assert (tmp_path / path.relative_to(SHIPPED)).read_bytes() == path.read_bytes()


def test_a_missing_font_says_what_to_install(tmp_path):
    content = Content("dog", None, "in a room", "plain")
    with pytest.raises(MissingFontError, match="fonts-noto-color-emoji"):
        draw_scene(content, np.random.default_rng(0), font=tmp_path / "none.ttf")


def test_every_image_shows_a_held_out_combination():
    rows = [json.loads(line) for line in (SHIPPED / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(SUBJECTS) == 20
    for row, subject in zip(rows, SUBJECTS, strict=True):
        place = held_out_place(subject.name)
        assert row["caption"] == caption(subject.name, subject.colour, place)
        for prompt in row["prompts"]:
            named = [other for other in PLACES if prompt.endswith(other)]
            assert len(named) == 1
            assert named[0] != place
            assert prompt == caption(subject.name, subject.colour, named[0])


def test_prompts_name_every_place_and_none_too_often():
    counts = Counter(
        place for case in load_dataset("emoji-scenes").cases for place in PLACES if case.prompt.endswith(place)
    )
    assert set(counts) == set(PLACES)
    assert max(counts.values()) <= 2 * 60 / len(PLACES)


def test_the_rule_holds_out_about_one_in_sixteen_and_one_place_at_most():
    held_out = [[is_held_out(name, place) for place in PLACES] for name in OBJECTS]
    assert sum(map(sum, held_out)) / np.size(held_out) == pytest.approx(1 / 16, abs=0.01)
    assert max(map(sum, held_out)) == 1


def test_training_and_held_out_contents_do_not_mix():
    random = np.random.default_rng(0)
    assert not any(
        is_held_out(content.name, content.place) for content in (draw_content(random, False) for _ in range(300))
    )
    assert all(is_held_out(content.name, content.place) for content in (draw_content(random, True) for _ in range(50)))


def test_an_object_without_a_held_out_place_is_refused():
    with pytest.raises(ValueError, match="choose another subject"):
        held_out_place("fox")


def test_places_are_pinned():
    """Places are drawn without the font, so their pictures are the same everywhere up to rounding."""
    pictures = [paint_place(place, 16, np.random.default_rng(7)) for place in PAINTERS]
    digest = hashlib.sha256(np.round(np.stack(pictures) * 100).astype(np.int16).tobytes()).hexdigest()
    assert digest[:16] == "852475886ac9b4bb"


@needs_font
def test_the_first_scenes_are_pinned():
    random = np.random.default_rng(0)
    scenes = [draw_scene(draw_content(random, False), random) for _ in range(4)]
    digest = hashlib.sha256(np.round(np.stack([scene.picture for scene in scenes]) * 100).astype(np.int16).tobytes())
    assert [scene.content.caption for scene in scenes] == [
        "a rose under water",
        "a purple apple in a room",
        "a red snake in the desert",
        "a red pig under water",
    ]
    assert digest.hexdigest()[:16] == "28d642ef694f9504"


@pytest.mark.parametrize("name", [look.texture for look in LOOKS.values()])
def test_textures_have_mean_zero_and_are_faint_only_by_their_factor(name):
    pattern = texture(name, 64)
    assert abs(pattern.mean()) < 1e-5
    assert np.abs(pattern).max() == (0 if name == "" else pytest.approx(1, abs=0.55))


def square_scene():
    subject = np.zeros((64, 64), np.float32)
    subject[16:48, 16:48] = 1
    return Scene(np.zeros((64, 64, 3), np.float32), subject, Content("dog", None, "in a room", "plain"), 16, 16, 32)


def test_no_rim_of_the_place_is_kept():
    kept = 1 - keep_subject(square_scene())
    assert kept.sum() == 30 * 30
    assert kept[17:47, 17:47].all()


@pytest.mark.parametrize(("part", "share"), [("whole", 1.0), ("top", 0.55), ("left", 0.55), ("right", 0.55)])
def test_a_part_of_the_subject_is_kept(part, share):
    kept = 1 - keep_part(square_scene(), part)
    assert kept.sum() == pytest.approx(share * 30 * 30, rel=0.06)
