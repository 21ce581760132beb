"""Latent semantic analysis: TF-IDF of n-grams, projected on the singular vectors of the training texts.

TF-IDF is (1 + log count) times the inverse document frequency of the n-gram's bucket. N-grams of words and
those of characters have buckets of their own, and each of the two parts has length 1. A text's features are
its product with the singular vectors, each divided by the square root of its singular value. They are not
standardised: the last dimensions vary much less in new texts than in training texts.

Letters: n texts, L n-grams of the longest, B buckets of each part, D dimensions.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils.extmath import randomized_svd
from tailfuse_service.modalities.text.sparse_rows import CHARACTERS_FROM, WORD_NGRAMS_FROM
from torch import Tensor, nn

from tailfuse.files.cache import cached, make_key
from tailfuse.modalities.pretrained import fingerprint
from tailfuse.modalities.ragged import digest_rows

MIN_SINGULAR = 1e-4  # relative to the largest: of texts that repeat each other the last ones are 0
POWER_ITERATIONS = 2
PROJECTED_ROWS = 4096  # at a time
PIECE = 128  # n-grams of a row that are looked up at once
MIN_KEPT_NUMBERS = 2**26  # features, 256 MiB: more are kept on disk and mapped


class Tfidf(nn.Module):
    """Ids and counts of n-grams -> their buckets and TF-IDF."""

    def __init__(self, buckets: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.idf = nn.Parameter(torch.zeros(1 + 2 * buckets), requires_grad=False)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, L, 2) -> buckets 1..2B, 0 is padding (n, L), and the values (n, L)"""
        ids, counts = rows.unbind(-1)
        buckets = self.find_buckets(ids)
        values = (1 + counts.clamp(min=1).float().log()) * self.idf[buckets]
        squares, is_word = values.square(), buckets <= self.buckets
        words = (squares * is_word).sum(1, keepdim=True)
        characters = (squares * ~is_word).sum(1, keepdim=True)
        return buckets, values / torch.where(is_word, words, characters).clamp(min=1e-12).sqrt()

    def find_buckets(self, ids: Tensor) -> Tensor:
        """Return the bucket of each id: word n-grams of any size have 1..B, characters B + 1..2B."""
        start = torch.where(ids < WORD_NGRAMS_FROM, 1, WORD_NGRAMS_FROM)
        is_character = ids >= CHARACTERS_FROM
        start = torch.where(is_character, CHARACTERS_FROM, start)
        found = 1 + (ids - start).clamp(min=0) % self.buckets + is_character * self.buckets
        return found * (ids > 0)


class LsaProjection(nn.Module):
    """TF-IDF and the singular vectors. It is fitted once, and the same in all networks of a training."""

    def __init__(self, buckets: int, dimensions: int) -> None:
        super().__init__()
        self.tfidf = Tfidf(buckets)
        self.vectors = nn.Parameter(
            torch.zeros(1 + 2 * buckets, dimensions, dtype=torch.float16), requires_grad=False
        )

    def forward(self, rows: Tensor) -> Tensor:
        """(n, L, 2) -> (n, D)"""
        buckets, values = self.tfidf(rows)
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if torch.compiler.is_compiling() or tracing:  # ONNX has no embedding bag
            return sum_products(buckets, values, self.vectors)
        # Of many rows at once, a hundredth of the memory.
        return F.embedding_bag(buckets, self.vectors.float(), per_sample_weights=values, mode="sum")

    def fit_features(
        self,
        rows: NDArray[Any],
        train: NDArray[np.int64],
        *,
        seed: int,
        device: torch.device | str = "cpu",
        report: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Fit to the training rows, and return the features of all rows, (n, D); on a processor."""
        if report:
            report(0, len(rows))
        self.fit(rows[train], seed)
        dimensions = self.vectors.shape[1]
        if len(rows) * dimensions < MIN_KEPT_NUMBERS:
            features = self.compute_features(rows)
            if report:
                report(len(rows), len(rows))
            return features
        name = f"texts-{make_key(digest_rows(rows), fingerprint(self), torch.__version__)}"
        make = partial(self.make_features, rows, report)
        return cached(name, (len(rows), dimensions), np.float32, make)

    def fit(self, rows: NDArray[Any], seed: int) -> None:
        """Fit to the rows of the training texts, an object array of (n-grams, 2)."""
        if not len(rows):
            return  # no training text has a token
        dimensions = self.vectors.shape[1]
        counts = count_texts(rows, self.tfidf)
        idf = np.log((1 + len(rows)) / (1 + counts)) + 1
        idf[0] = 0.0
        self.tfidf.idf.copy_(torch.from_numpy(idf))
        tfidf = make_tfidf(rows, self.tfidf)[:, 1:]
        scores, singular, vectors = randomized_svd(
            tfidf, min(dimensions, *tfidf.shape), n_iter=POWER_ITERATIONS, random_state=seed
        )
        roots = np.sqrt(singular)
        used = singular > MIN_SINGULAR * singular[0]
        projection = np.where(used[:, None], vectors / roots.clip(min=1e-12)[:, None], 0.0)
        # One scale for all dimensions: the mean square of the training texts' features is 1.
        lengths = np.square((scores * roots)[:, used]).mean()
        self.vectors.zero_()
        self.vectors[1:, : len(singular)] = torch.from_numpy(projection.T / np.sqrt(lengths)).half()

    def compute_features(
        self, rows: NDArray[Any], *, device: torch.device | str = "cpu"
    ) -> NDArray[np.float32]:
        """Compute the features of many rows: what `forward` returns, but for rounding."""
        none = np.empty((0, self.vectors.shape[1]), np.float32)
        return np.concatenate([none, *self.make_features(rows)])

    def make_features(
        self, rows: NDArray[Any], report: Callable[[int, int], None] | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the features of rows, PROJECTED_ROWS at a time."""
        vectors = self.vectors.float().numpy()
        for start in range(0, len(rows), PROJECTED_ROWS):
            piece = rows[start : start + PROJECTED_ROWS]
            yield (make_tfidf(piece, self.tfidf) @ vectors).astype(np.float32)
            if report:
                report(start + len(piece), len(rows))


def sum_products(buckets: Tensor, values: Tensor, table: Tensor) -> Tensor:
    """Sum each row's products with the table's rows: (n, L), (n, L), (buckets, D) -> (n, D)

    Padding comes last. Only pieces of a row that begin with a bucket are looked up: a long text costs what it
    holds, and does not slow its neighbours in a batch down.
    """
    n, length = buckets.shape
    pieces = (length + PIECE - 1) // PIECE
    padding = buckets.new_zeros(n, PIECE)
    flat = torch.cat([buckets, padding], 1)[:, : pieces * PIECE].reshape(-1, PIECE)
    weights = torch.cat([values, padding.to(values.dtype)], 1)[:, : pieces * PIECE].reshape(-1, PIECE)
    used = (flat[:, 0] > 0).nonzero().squeeze(1)
    products = torch.matmul(weights[used][:, None, :], F.embedding(flat[used], table).float()).squeeze(1)
    rows = torch.arange(n, device=used.device)
    return (rows[:, None] == used // pieces).to(products.dtype) @ products


def concatenate_rows(rows: NDArray[Any]) -> tuple[Tensor, NDArray[np.int64]]:
    """Return the n-grams of all rows end to end, (N, 2), and where each row begins: (n + 1,)"""
    starts = np.cumsum([0, *map(len, rows)])
    return torch.from_numpy(np.concatenate(rows.tolist())), starts


def count_texts(rows: NDArray[Any], tfidf: Tfidf) -> NDArray[np.float64]:
    """Count the texts that have each bucket: (1 + 2B,)"""
    ngrams, starts = concatenate_rows(rows)
    at = tfidf.find_buckets(ngrams[:, 0]).numpy()
    has = csr_array((np.ones(len(at), np.float32), at, starts), shape=(len(rows), len(tfidf.idf)))
    has.sum_duplicates()
    return np.bincount(has.indices, minlength=len(tfidf.idf)).astype(np.float64)


def make_tfidf(rows: NDArray[Any], tfidf: Tfidf) -> csr_array:
    """Return the TF-IDF of many rows by bucket: (n, 1 + 2B), what `tfidf` returns for each."""
    ngrams, starts = concatenate_rows(rows)
    buckets = tfidf.find_buckets(ngrams[:, 0])
    values = ((1 + ngrams[:, 1].float().log()) * tfidf.idf[buckets]).numpy()
    is_word = (buckets <= tfidf.buckets).numpy()
    row = np.repeat(np.arange(len(rows)), np.diff(starts))
    part = 2 * row + is_word
    lengths = np.bincount(part, np.square(values, dtype=np.float64), minlength=2 * len(rows))
    values = (values / np.sqrt(lengths[part].clip(min=1e-12))).astype(np.float32)
    found = csr_array((values, buckets.numpy(), starts), shape=(len(rows), len(tfidf.idf)))
    found.sum_duplicates()
    return found
