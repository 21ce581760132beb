"""A text as a sparse row: which n-grams it has, and how often. Training and serving share this.

N-grams are of three kinds: single tokens, word n-grams (in scripts without spaces: character n-grams), and
character n-grams within words. Each kind has its own range of ids. An id is the hash of an n-gram; ids are so
many that two n-grams of a text rarely share one. The graph maps them to fewer buckets.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.modalities.text.tokens import Tokens, join_neighbours

TOKEN_IDS, WORD_NGRAM_IDS, CHARACTER_IDS = 2**20, 2**21, 2**20  # how many ids of each kind there are
WORD_NGRAMS_FROM = 1 + TOKEN_IDS  # 0 is padding
CHARACTERS_FROM = WORD_NGRAMS_FROM + WORD_NGRAM_IDS
CHARACTER_SIZES = (3, 4, 5)
MAX_WORD_CHARS = 32  # a longer word is an address or a code: the rest of it is not looked at
# A text of 300 English words has 1,700 different n-grams. Of more than this many per token a part is kept
# that depends on the hashes alone, so that no request makes the graph's memory grow without limit.
MAX_NGRAMS_PER_TOKEN = 4
CACHED_WORDS = 2**14  # 5 MB

Row = NDArray[np.int32]  # (n-grams, 2): ids in ascending order, and how often each occurs


class SparseRows:
    """Texts as int32 of shape (n-grams, 2), ids and counts; stacking pads with 0."""

    def __init__(
        self, tokenize: Callable[[str, int], Tokens], *, ngrams: int, max_tokens: int, known: bytes
    ) -> None:
        self._tokenize = tokenize
        self.ngrams, self.max_tokens = ngrams, max_tokens
        self._known = frozenset(np.frombuffer(known, "<u4").tolist())

    def apply(self, text: str) -> Row | None:
        """Return the row of a text; None if no n-gram of it is known."""
        tokens = self._tokenize(text, self.max_tokens)
        if self._known.isdisjoint(map(crc32, find_shortest_ngrams(tokens))):
            return None
        return self.count(tokens)

    def count(self, tokens: Tokens) -> Row:
        """Return the ids of all n-grams and their counts."""
        ids = [
            hash_ngrams(find_tokens(tokens), 1, TOKEN_IDS),
            hash_ngrams(find_word_ngrams(tokens, self.ngrams), WORD_NGRAMS_FROM, WORD_NGRAM_IDS),
            *map(hash_characters, tokens.words),
            *(hash_run(run) for run in tokens.runs),
        ]
        found, counts = np.unique(np.concatenate(ids), return_counts=True)
        row = np.empty((len(found), 2), np.int32)
        row[:, 0], row[:, 1] = found, counts
        return row[: self.max_tokens * MAX_NGRAMS_PER_TOKEN]

    def stack(self, rows: list[Row]) -> NDArray[np.int32]:
        longest = max((len(row) for row in rows), default=1)
        padded = np.zeros((len(rows), longest, 2), np.int32)
        for i, row in enumerate(rows):
            padded[i, : len(row)] = row
        return padded


def find_tokens(tokens: Tokens) -> list[bytes]:
    """Return the single tokens; in scripts without spaces these are characters."""
    return tokens.words + tokens.symbols + list(chain.from_iterable(tokens.runs))


def find_word_ngrams(tokens: Tokens, ngrams: int) -> list[bytes]:
    """Return the n-grams of two to `ngrams` words, or characters of a script without spaces."""
    found = [gram for run in tokens.runs for gram in join_neighbours(run, 2, b"")]
    for size in range(3, ngrams + 1):
        for run in tokens.runs:
            found += join_neighbours(run, size, b"")
    for size in range(2, ngrams + 1):
        found += join_neighbours(tokens.words, size, b" ")
    return found


def find_shortest_ngrams(tokens: Tokens) -> Iterator[bytes]:
    """Yield what a text of known words must have: characters of words by threes, symbols, characters of runs.

    If none of these is known, no longer n-gram is.
    """
    for word in tokens.words:
        yield from split_word(word, CHARACTER_SIZES[:1])
    yield from tokens.symbols
    yield from chain.from_iterable(tokens.runs)


def split_word(word: bytes, sizes: Iterable[int] = CHARACTER_SIZES) -> list[bytes]:
    """Return the character n-grams of a word with a space at each end.

    >>> split_word(b"so")
    [b' so', b'so ', b' so ']
    """
    if word.isascii():
        padded = b" %b " % word[:MAX_WORD_CHARS]
        return [padded[at : at + size] for size in sizes for at in range(len(padded) - size + 1)]
    text = f" {word.decode()[:MAX_WORD_CHARS]} "
    return [text[at : at + size].encode() for size in sizes for at in range(len(text) - size + 1)]


@lru_cache(CACHED_WORDS)
def hash_characters(word: bytes) -> NDArray[np.int64]:
    """Return the ids of a word's character n-grams."""
    return hash_ngrams(split_word(word), CHARACTERS_FROM, CHARACTER_IDS)


def hash_run(run: list[bytes]) -> NDArray[np.int64]:
    """Return the ids of the character n-grams of a run of a script without spaces."""
    grams = [gram for size in CHARACTER_SIZES for gram in join_neighbours(run, size, b"")]
    return hash_ngrams(grams, CHARACTERS_FROM, CHARACTER_IDS)


def hash_ngrams(ngrams: list[bytes], start: int, count: int) -> NDArray[np.int64]:
    """Return the ids of n-grams of one kind."""
    return np.fromiter(map(crc32, ngrams), np.int64, len(ngrams)) % count + start
