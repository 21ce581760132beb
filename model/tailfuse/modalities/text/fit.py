"""What the manifest says of a modality with the encoder lsa: its dimensions, and which n-grams are known."""

from base64 import b64encode
from collections.abc import Iterable
from zlib import crc32

import numpy as np
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text.sparse_rows import find_shortest_ngrams
from tailfuse_service.modalities.text.tokenizer import TOKENIZERS

MAX_DIMENSIONS = 512
MIN_TEXTS_PER_DIMENSION = 4  # of fewer texts the singular vectors describe these texts alone


def fit_lsa(modality: TextModality, texts: Iterable[str]) -> TextModality:
    """Return the modality with the encoder lsa, fitted to the training texts."""
    tokenize = TOKENIZERS[modality.tokenizer]
    known: set[int] = set()
    count = 0
    for text in texts:
        hashes = [crc32(ngram) for ngram in find_shortest_ngrams(tokenize(text, modality.max_tokens))]
        known.update(hashes)
        count += bool(hashes)
    return TextModality(
        **modality.model_dump(exclude={"encoder", "dimensions", "known"}),
        encoder="lsa",
        dimensions=max(1, min(MAX_DIMENSIONS, 2 * modality.buckets, count // MIN_TEXTS_PER_DIMENSION)),
        known=b64encode(np.array(sorted(known), "<u4").tobytes()),
    )
