"""A warning about texts that share no tokens: nothing can be learnt from one row for another."""

import logging
from collections import Counter

import numpy as np
import polars as pl
from tailfuse_service.modalities.text.tokenizer import LATEST_TOKENIZER, TOKENIZERS

from tailfuse.files.table import Rows

log = logging.getLogger("tailfuse")

MIN_TEXTS = 30  # with fewer, unique tokens are no surprise
MAX_TEXTS = 2000  # enough for a share, and read in a fraction of a second
MAX_TOKENS = 512
# In 30 reviews of clothes, 26 % of the tokens are in one review only; in 100 it is 14 %. In ids it is all.
MAX_UNIQUE = 0.9


def warn_about_unique_tokens(texts: pl.Series, where: str, rows: Rows) -> None:
    """Warn if nearly every token is in one text only. `rows` are the rows of `texts` in the table."""
    present = np.flatnonzero(texts.is_not_null().to_numpy())
    if len(present) < MIN_TEXTS:
        return
    step = -(-len(present) // MAX_TEXTS)
    found = {int(at): find_tokens(texts[int(at)]) for at in present[::step]}
    counts = Counter(token for tokens in found.values() for token in tokens)
    unique = sum(count == 1 for count in counts.values())
    if unique <= MAX_UNIQUE * counts.total():
        return
    at, tokens = next((at, tokens) for at, tokens in found.items() if tokens)
    log.warning(
        "%s: %.0f %% of the tokens are in one row only (row %d: '%s'); ids or codes teach nothing",
        where, 100 * unique / counts.total(), rows[at] + 1, min(tokens).decode()[:40],
    )  # fmt: skip


def find_tokens(text: str) -> set[bytes]:
    """Return the words of a text, and pairs of characters where its script has no spaces."""
    return set(TOKENIZERS[LATEST_TOKENIZER](text, MAX_TOKENS).make_ngrams(1))
