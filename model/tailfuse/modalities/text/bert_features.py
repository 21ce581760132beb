"""A frozen BERT's embeddings of all texts, computed once and cached on disk, and brought to one scale."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tailfuse.files.cache import cached, make_key
from tailfuse.modalities.pretrained import Scale, fingerprint
from tailfuse.modalities.ragged import digest_rows, pad_rows, split_by_size
from tailfuse.modalities.text.bert import SentenceBert

# In a batch. A token of all-MiniLM-L6-v2 takes 50 kB; larger batches are not faster.
MAX_TEXTS, MAX_TOKENS = 256, 2048


class BertProjection(nn.Module):
    """The sentence embedding of a frozen BERT, each dimension standardised on the training texts."""

    tfidf = None  # its tokens are no n-grams

    def __init__(self, bert: SentenceBert, dimensions: int) -> None:
        super().__init__()
        self.bert = bert
        self.scale = Scale(dimensions)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, tokens) ids plus 1, 0 is padding -> (n, D)"""
        features: Tensor = self.scale(self.bert(rows))
        return features

    def fit_features(
        self,
        rows: NDArray[Any],
        train: NDArray[np.int64],
        *,
        seed: int,
        device: torch.device | str = "cpu",
        report: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Fit the scale to the training rows, and return the features of all rows: (n, D)"""
        raw = torch.from_numpy(compute_bert_features(self.bert, rows, device=device, report=report))
        self.scale.cpu().fit(raw[train])
        features: NDArray[np.float32] = self.scale(raw).numpy()
        return features

    def compute_features(
        self, rows: NDArray[Any], *, device: torch.device | str = "cpu"
    ) -> NDArray[np.float32]:
        """Compute the features of other rows: (n, D)"""
        raw = torch.from_numpy(compute_bert_features(self.bert, rows, device=device))
        features: NDArray[np.float32] = self.scale.cpu()(raw).numpy()
        return features


def compute_bert_features(
    bert: SentenceBert,
    texts: NDArray[Any],
    *,
    device: torch.device | str = "cpu",
    report: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Compute embeddings of texts, an object array of (tokens,), or read them from the cache: (n, D)"""
    device = torch.device(device)
    bert = bert.to(device).eval()
    width = bert.words.shape[1]
    if not len(texts):
        return np.empty((0, width), np.float32)
    lengths = np.array([len(text) for text in texts], np.int64)
    batches = list(split_by_size(lengths[:, None], MAX_TEXTS, MAX_TOKENS))

    @torch.inference_mode()
    def embed(batch: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = torch.from_numpy(pad_rows(texts[batch], texts))
        embedding: NDArray[np.float32] = bert(rows.to(device)).cpu().numpy()
        return embedding

    def make() -> Iterator[NDArray[np.float32]]:
        features, done = np.empty((len(texts), width), np.float32), 0
        with ThreadPoolExecutor(count_workers(device)) as pool:
            for batch, made in zip(batches, pool.map(embed, batches), strict=True):
                features[batch] = made
                done += len(batch)
                if report:
                    report(done, len(texts))
        yield features

    key = make_key(digest_rows(texts), fingerprint(bert), torch.__version__, device.type)
    return cached(f"texts-{key}", (len(texts), width), np.float32, make)


def count_workers(device: torch.device) -> int:
    """Return how many batches run at once: on a CPU as many as its cores, where torch leaves them idle."""
    return max(1, (os.cpu_count() or 1) // torch.get_num_threads()) if device.type == "cpu" else 1
