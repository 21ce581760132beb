"""Corrupted texts: what broken forms, encoders and hurried people send.

Texts are corrupted, not their features: those of gibberish are nothing like noise.
"""

from collections.abc import Callable, Sequence

import numpy as np

from tailfuse.modalities.text.foreign_words import LANGUAGES, PLACEHOLDERS

Random = np.random.Generator

MIN_RANDOM_WORDS = 4  # of fewer words any order is a text that somebody may write
MAX_WORDS = 200  # of a corrupted text: enough to be told from a real one
CHARS_PER_WORD = 15  # more are a script without spaces, whose pairs of characters stand for words
# A language is foreign to a table that has fewer than this share of the language's frequent words.
MAX_KNOWN = 0.5


def corrupt_texts(texts: Sequence[str], count: int, random: Random) -> list[str]:
    """Return `count` corrupted texts, each about as long as one of the texts."""
    pieces = [split_words(text) for text in texts]
    pool = [word for words in pieces for word in words]
    vocabulary = sorted(set(pool))
    letters = [letter for word in vocabulary[:: 1 + len(vocabulary) // 2000] for letter in word]
    folded = {word.casefold() for word in vocabulary}
    foreign = [
        words.split()
        for words in LANGUAGES.values()
        if np.mean([word in folded for word in words.split()]) < MAX_KNOWN
    ]

    def draw(words: Sequence[str], size: int) -> str:
        return " ".join(words[at] for at in random.integers(len(words), size=size))

    def draw_gibberish(words: list[str]) -> str:
        lengths = [max(1, min(12, len(word))) for word in words]
        return " ".join("".join(draw(letters, length).split(" ")) for length in lengths)

    corruptions: list[Callable[[list[str]], str]] = [
        lambda words: " ".join(scramble_letters(word, random) for word in words),
        lambda words: draw(pool, max(MIN_RANDOM_WORDS, len(words))),
        lambda words: draw(vocabulary, max(MIN_RANDOM_WORDS, len(words))),
        lambda words: PLACEHOLDERS[random.integers(len(PLACEHOLDERS))],
        lambda words: draw(" ".join(PLACEHOLDERS).split(), len(words)),
        draw_gibberish,
    ]
    if foreign:
        corruptions.append(lambda words: draw(foreign[random.integers(len(foreign))], len(words)))
    chosen = random.integers(len(texts), size=count)
    kinds = random.integers(len(corruptions), size=count)
    return [corruptions[kind](pieces[at][:MAX_WORDS]) for kind, at in zip(kinds, chosen, strict=True)]


def split_words(text: str) -> list[str]:
    """Split a text at spaces, or into pairs of characters if it hardly has any."""
    words = text.split()
    if len(text) <= CHARS_PER_WORD * len(words):
        return words
    joined = "".join(words)
    return [joined[at : at + 2] for at in range(0, len(joined), 2)]


def scramble_letters(word: str, random: Random) -> str:
    """Shuffle the letters of a word."""
    return "".join(word[at] for at in random.permutation(len(word)))
