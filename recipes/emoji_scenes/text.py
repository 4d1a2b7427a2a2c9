"""A tokenizer for the captions, made offline, in the format of CLIP's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from recipes.emoji_scenes.vocabulary import all_words

if TYPE_CHECKING:
    import torch
    from transformers import CLIPTokenizer

CONTEXT_LENGTH = 16
"""Tokens of a caption, with both ends; the longest one has twelve."""

END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"


def make_tokenizer() -> CLIPTokenizer:
    """Make a CLIPTokenizer that has a token for every word of the captions, and spells every other word."""
    from transformers import CLIPTokenizer

    merges = merges_for(all_words())
    letters = [chr(code) for code in range(33, 127)]
    tokens = [*letters, *(letter + END_OF_WORD for letter in letters), *("".join(pair) for pair in merges), START, END]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT_LENGTH, pad_token=END)


def merges_for(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return byte pair merges, in their order, that make each word one token.

    A word is first merged as far as the merges of the words before it go, then from its start on. Since merges apply in
    their order, a later word's cannot disturb an earlier word.
    """
    merges: dict[tuple[str, str], int] = {}
    for word in words:
        pieces = _merge([*word[:-1], word[-1] + END_OF_WORD], merges)
        while len(pieces) > 1:
            merges[pieces[0], pieces[1]] = len(merges)
            pieces[:2] = [pieces[0] + pieces[1]]
    return list(merges)


def _merge(pieces: list[str], merges: dict[tuple[str, str], int]) -> list[str]:
    while known := [pair for pair in pairwise(pieces) if pair in merges]:
        first = min(known, key=merges.__getitem__)
        where = next(index for index in range(len(pieces)) if (pieces[index], pieces[index + 1]) == first)
        pieces[where : where + 2] = ["".join(first)]
    return pieces


def encode_captions(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> torch.Tensor:
    """Return token ids, shape (N, CONTEXT_LENGTH), int64."""
    ids: torch.Tensor = tokenizer(
        list(captions), padding="max_length", max_length=CONTEXT_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    return ids
