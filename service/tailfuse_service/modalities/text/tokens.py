"""The tokens of one text and the n-grams that they make."""

from dataclasses import dataclass, field
from itertools import pairwise

MAX_SYMBOL_CHARS = 8  # of a run of punctuation: five stars differ from four, but longer rules are all alike


@dataclass(slots=True)
class Tokens:
    """The tokens that a tokenizer found in a text, each list in the order of the text, as UTF-8."""

    words: list[bytes]
    symbols: list[bytes] = field(default_factory=list)  # emoji and runs of punctuation
    runs: list[list[bytes]] = field(default_factory=list)  # characters of a script without spaces

    def make_ngrams(self, ngrams: int) -> list[bytes]:
        """Return all tokens, then the n-grams of words and of characters up to `ngrams`, short ones first.

        Characters make pairs in any case. Symbols stand alone: words on both sides of a comma are neighbours.

        >>> Tokens([b"so", b"good"], [b"!"]).make_ngrams(2)
        [b'so', b'good', b'!', b'so good']
        """
        grams = self.words + self.symbols
        if self.runs:
            # Pairs come first: where a long text is cut, they tell more than single characters.
            for run in self.runs:
                grams += map(b"".join, pairwise(run))
            for run in self.runs:
                grams += run
            for size in range(3, ngrams + 1):
                for run in self.runs:
                    grams += join_neighbours(run, size, b"")
        for size in range(2, ngrams + 1):
            grams += join_neighbours(self.words, size, b" ")
        return grams


def join_neighbours(tokens: list[bytes], size: int, separator: bytes) -> list[bytes]:
    """Return each `size` tokens in a row as one."""
    return list(map(separator.join, zip(*(tokens[start:] for start in range(size)), strict=False)))
