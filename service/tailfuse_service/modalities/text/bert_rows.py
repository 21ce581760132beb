"""A text as the token ids of a BERT's own tokenizer, which the bundle carries."""

import json
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.errors import BundleError, install_hint
from tailfuse_service.modalities.text.bag_rows import pad_tokens
from tailfuse_service.modalities.text.tokenizer import shorten

MAX_TOKENS = 128  # of a text, [CLS] and [SEP] included: what all-MiniLM-L6-v2 was trained with
MAX_TOKENIZER_BYTES = 2**25  # of a tokenizer.json; those of a hundred languages have 9 MB
CACHED_TOKENIZERS = 4


class BertRows:
    """Texts as int64 of shape (tokens,): token ids plus 1; stacking pads with 0."""

    def __init__(self, packed: bytes, *, max_tokens: int) -> None:
        self._tokenizer, self._unknown = open_tokenizer(packed, max_tokens)
        self.max_tokens = max_tokens

    def apply(self, text: str) -> NDArray[np.int64] | None:
        """Return the tokens of one text, at most max_tokens; None if its tokenizer knows none of them."""
        encoding = self._tokenizer.encode(shorten(text, self.max_tokens))
        ids = np.array(encoding.ids, np.int64)
        known = (np.array(encoding.special_tokens_mask, np.int64) == 0) & (ids != self._unknown)
        return ids + 1 if known.any() else None

    def stack(self, rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return pad_tokens(rows)


def pack_tokenizer(content: bytes) -> bytes:
    """Compress a tokenizer.json for a manifest."""
    return zlib.compress(content, 9)


def unpack_tokenizer(packed: bytes) -> bytes:
    """Return the tokenizer.json of a manifest. Raises ValueError."""
    try:
        content = zlib.decompressobj().decompress(packed, MAX_TOKENIZER_BYTES + 1)
    except zlib.error:
        raise ValueError("is damaged") from None
    if len(content) > MAX_TOKENIZER_BYTES:
        raise ValueError(f"has more than {MAX_TOKENIZER_BYTES:,} bytes")
    return content


@lru_cache(CACHED_TOKENIZERS)
def open_tokenizer(packed: bytes, max_tokens: int) -> tuple[Any, int]:
    """Return a tokenizer that truncates and does not pad, and its id of unknown tokens, -1 if it has none.

    Raises BundleError.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise BundleError(f"the encoder bert needs the package tokenizers: {install_hint('text')}") from None
    content = unpack_tokenizer(packed).decode()
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # the package raises Exception itself
        raise BundleError(f"the tokenizer of a text modality cannot be read: {error}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    model = json.loads(content)["model"]
    unknown = model.get("unk_id")
    if unknown is None:
        unknown = tokenizer.token_to_id(model.get("unk_token") or "")
    return tokenizer, -1 if unknown is None else int(unknown)
