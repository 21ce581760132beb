"""Embeddings of texts that were encoded before, within a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

ENTRY_BYTES = 400  # of Python's objects around an embedding: two of them, the key, and a place in the table


class EmbeddingCache:
    """Embeddings by key; the least recently used ones leave. Thread-safe, and shared by all bundles."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0
        self._hits = self._misses = 0  # since they were taken
        self._embeddings: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, keys: Sequence[bytes]) -> list[NDArray[np.float32] | None]:
        """Return the embedding of each key, None where it is not known."""
        with self._lock:
            found = [self._embeddings.get(key) for key in keys]
            for key, embedding in zip(keys, found, strict=True):
                if embedding is not None:
                    self._embeddings.move_to_end(key)
            n_known = sum(embedding is not None for embedding in found)
            self._hits += n_known
            self._misses += len(keys) - n_known
        return found

    def take_counts(self) -> tuple[int, int]:
        """Return how many keys were known and how many were not, since the last call."""
        with self._lock:
            counts = self._hits, self._misses
            self._hits = self._misses = 0
        return counts

    def put(self, keys: Iterable[bytes], embeddings: NDArray[np.float32]) -> None:
        """Keep the embedding of each key, one row each."""
        with self._lock:
            for key, embedding in zip(keys, embeddings, strict=True):
                if key not in self._embeddings:
                    # A copy: a row of the array would keep the whole array alive.
                    self._embeddings[key] = embedding.copy()
                    self.held += embedding.nbytes + ENTRY_BYTES
            while self.held > self.max_bytes:
                _, oldest = self._embeddings.popitem(last=False)
                self.held -= oldest.nbytes + ENTRY_BYTES
