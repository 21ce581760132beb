"""What a graph has to encode of a batch: texts whose embeddings are cached go in as embeddings.

Of a modality `m` with a large frozen encoder, a graph takes embeddings too, as `m.cached`; their samples
follow those of the rows in `m.rows`. It returns those of the rows as `m.features`. Both are optional.
"""

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle.batch import CACHED, FEATURES
from tailfuse_service.bundle.embedding_cache import EmbeddingCache

KEY_BYTES = 16
Feed = dict[str, NDArray[Any]]


class Split(NamedTuple):
    """The inputs of a graph, and for each modality the keys of the rows that it encodes."""

    feed: Feed
    missing: dict[str, list[bytes]]


class CachedInputs:
    """Replaces rows by cached embeddings, of the modalities of one graph that take them."""

    def __init__(self, modalities: Sequence[str], cache: EmbeddingCache) -> None:
        self.modalities = modalities
        self._cache = cache
        self._salt = os.urandom(KEY_BYTES)  # other graphs have other embeddings of the same text

    @property
    def outputs(self) -> list[str]:
        """The outputs of the graph that `keep` is given, in this order."""
        return [name + FEATURES for name in self.modalities]

    def split(self, feed: Feed) -> Split:
        """Put the rows that are not known first, and the embeddings of the others after them.

        A batch with a blank row is left as it is: it warms the graph up, or tries how large a batch fits.
        """
        feed = dict(feed)
        missing: dict[str, list[bytes]] = {}
        for name in self.modalities:
            rows, samples = feed[name], feed[f"{name}.rows"]
            missing[name] = []
            if not (rows > 0).any(axis=1).all():
                continue
            keys = [self._make_key(name, row) for row in rows]
            found = self._cache.get(keys)
            known = np.array([embedding is not None for embedding in found], np.bool_)
            missing[name] = [key for key, embedding in zip(keys, found, strict=True) if embedding is None]
            if not known.any():
                continue
            feed[name] = cut_padding(rows[~known])
            feed[f"{name}.rows"] = np.concatenate([samples[~known], samples[known]])
            feed[name + CACHED] = np.stack([embedding for embedding in found if embedding is not None])
        return Split(feed, missing)

    def keep(self, missing: dict[str, list[bytes]], outputs: Sequence[NDArray[np.float32]]) -> None:
        """Keep the embeddings that the graph has computed."""
        for keys, embeddings in zip(missing.values(), outputs, strict=True):
            if keys:
                self._cache.put(keys, embeddings)

    def _make_key(self, name: str, row: NDArray[Any]) -> bytes:
        """Return the digest of a row without its padding, which depends on the batch."""
        content = f"{name}\0".encode() + np.trim_zeros(row, "b").tobytes()
        return blake2b(content, digest_size=KEY_BYTES, key=self._salt).digest()


def cut_padding(rows: NDArray[Any]) -> NDArray[Any]:
    """Cut the columns that no row uses: the longest row may be among those that are known."""
    used = int((rows > 0).sum(axis=1).max(initial=1))
    return rows[:, :used]
