"""Texts are corrupted as texts."""

import numpy as np
import pytest
from tailfuse.modalities.text.corruption import corrupt_texts, scramble_letters, split_words
from tailfuse.modalities.text.foreign_words import LANGUAGES

ENGLISH = [
    "it was the best of times and the worst of times for all", "we have not seen this dress in the shop",
    "they are on sale at that price as it is by far the best", "had it from the start but with little to be",
]  # fmt: skip


def corrupt(texts: list[str], count: int = 200, seed: int = 0) -> list[str]:
    return corrupt_texts(texts, count, np.random.default_rng(seed))


def test_the_seed_alone_determines_the_corrupted_texts() -> None:
    assert corrupt(ENGLISH) == corrupt(ENGLISH)
    assert corrupt(ENGLISH) != corrupt(ENGLISH, seed=1)
    assert len(corrupt(ENGLISH, 7)) == 7


def test_hardly_any_corrupted_text_is_one_of_the_table() -> None:
    assert sum(text in ENGLISH for text in corrupt(ENGLISH, 500)) < 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_the_table_s_own_language_are_not_foreign(language: str) -> None:
    words = LANGUAGES[language].split()
    own = [" ".join(words), " ".join(reversed(words))]
    other = {word for name, each in LANGUAGES.items() if name != language for word in each.split()}
    found = {word for text in corrupt(own, 400) for word in text.split()}
    assert found & (other - set(words))
    alone = set(words) - other
    corrupted = [text for text in corrupt(["qqq www eee rrr ttt"], 400) if set(text.split()) & alone]
    assert corrupted  # in a table of another language it is foreign


def test_a_script_without_spaces_is_corrupted_by_pairs_of_characters() -> None:
    assert split_words("这条裙子质量很好面料舒服尺码也合适物流很快") == [
        "这条", "裙子", "质量", "很好", "面料", "舒服", "尺码", "也合", "适物", "流很", "快",
    ]  # fmt: skip
    assert split_words("two words") == ["two", "words"]
    assert all(corrupt(["这条裙子质量很好面料舒服尺码也合适物流很快"]))


@pytest.mark.parametrize("texts", [["a"], ["?"], ["x y"], ["word " * 5000]])
def test_texts_of_any_length_can_be_corrupted(texts: list[str]) -> None:
    corrupted = corrupt(texts)
    assert all(text.strip() for text in corrupted)
    assert max(map(len, corrupted)) < 5000


def test_scrambled_letters_are_the_same_letters() -> None:
    assert sorted(scramble_letters("wonderful", np.random.default_rng(0))) == sorted("wonderful")
