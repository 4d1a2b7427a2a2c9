import pytest

from recipes.emoji_scenes.text import CONTEXT_LENGTH, encode_captions, make_tokenizer, merges_for
from recipes.emoji_scenes.vocabulary import COLOURS, OBJECTS, PLACES, POSITIONS, SIZES, all_words, caption


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.mark.parametrize("word", all_words())
def test_every_word_of_the_captions_is_one_token(tokenizer, word):
    assert tokenizer.tokenize(word) == [f"{word}</w>"]


def test_other_words_are_spelled(tokenizer):
    assert "".join(tokenizer.tokenize("zebra")) == "zebra</w>"
    assert len(tokenizer.tokenize("zebra")) > 1


def test_a_words_merges_do_not_disturb_earlier_words():
    assert merges_for(["in", "pin", "pine"]) == [
        ("i", "n</w>"),
        ("p", "in</w>"),
        ("p", "i"),
        ("pi", "n"),
        ("pin", "e</w>"),
    ]


def test_the_longest_caption_fits(tokenizer):
    longest = max(
        (caption(name, colour, place, size, position) for name in OBJECTS for colour in COLOURS for place in PLACES
         for size in SIZES for position in POSITIONS),
        key=lambda text: len(text.split()),
    )  # fmt: skip
    ids = encode_captions(tokenizer, [longest, ""])
    assert ids.shape == (2, CONTEXT_LENGTH)
    assert (ids[0] != tokenizer.eos_token_id).sum() == 1 + len(longest.split())
    assert ids[1].tolist() == [tokenizer.bos_token_id] + [tokenizer.eos_token_id] * (CONTEXT_LENGTH - 1)
