"""What the manifest says of a modality with a frozen encoder: its dimensions, and which texts it knows."""

from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import numpy as np
from tailfuse_service.bundle import sha256
from tailfuse_service.modalities import TextModality
from tailfuse_service.modalities.text.bert_rows import (
    MAX_TOKENIZER_BYTES,
    MAX_TOKENS,
    open_tokenizer,
    pack_tokenizer,
)
from tailfuse_service.modalities.text.sparse_rows import find_shortest_ngrams
from tailfuse_service.modalities.text.tokenizer import TOKENIZERS

from tailfuse.errors import SpecError
from tailfuse.modalities.text.bert_files import CONFIG, TOKENIZER, WEIGHTS, read_config

MAX_DIMENSIONS = 512
MIN_TEXTS_PER_DIMENSION = 4  # of fewer texts the singular vectors describe these texts alone


def fit_bag(modality: TextModality) -> TextModality:
    """Return the modality with the encoder bag, which needs no fit."""
    return TextModality(**modality.model_dump(exclude={"encoder", "dimensions", "known"}), encoder="bag")


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


def fit_bert(modality: TextModality, folder: Path) -> TextModality:
    """Return the modality with the encoder bert, whose files are in `folder`. Raises SpecError."""
    config, tokenizer = read_config(folder), folder / TOKENIZER
    if tokenizer.stat().st_size > MAX_TOKENIZER_BYTES:
        raise SpecError(f"encoder: {tokenizer} has more than {MAX_TOKENIZER_BYTES:,} bytes")
    fitted = TextModality(
        columns=modality.columns,
        missing=modality.missing,
        encoder="bert",
        buckets=config.vocab_size,
        ngrams=1,
        max_tokens=min(MAX_TOKENS, config.max_position_embeddings),
        dimensions=config.hidden_size,
        tokenizer_json=b64encode(pack_tokenizer(tokenizer.read_bytes())),
        tokenizer_sha256=sha256(tokenizer),
        weights_sha256=sha256(folder / WEIGHTS),
    )
    vocabulary = open_tokenizer(fitted.tokenizer_json or b"", fitted.max_tokens)[0].get_vocab()
    largest = max(vocabulary.values(), default=0)
    if largest >= config.vocab_size:
        raise SpecError(
            f"encoder: {tokenizer} has the token {largest}, {CONFIG} has {config.vocab_size} tokens"
        )
    return fitted
