"""What the n-grams of a text say beside its embedding: a linear expert, and the shares of known n-grams.

The linear expert takes the TF-IDF of words and word n-grams: it sees rare words that the singular vectors
lose.

Letters: n texts, L n-grams of the longest, B buckets, C classes.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tailfuse_service.modalities.text.sparse_rows import CHARACTERS_FROM, WORD_NGRAMS_FROM
from torch import Tensor, nn

from tailfuse.modalities.text.lsa import Tfidf, concatenate_rows, make_tfidf, sum_products
from tailfuse.network.linear import fit_regression

N_SHARES = 2
PIECE = 4096  # texts that are read at once


class NgramExperts(nn.Module):
    """The linear expert and the known n-grams of one modality of texts."""

    known: Tensor

    def __init__(self, buckets: int, n_classes: int) -> None:
        super().__init__()
        weights = torch.zeros(1 + buckets, n_classes, dtype=torch.float16)
        self.weights = nn.Parameter(weights, requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(n_classes), requires_grad=False)
        # By id, whether a training text has the n-gram; 0 is padding.
        self.register_buffer("known", torch.zeros(CHARACTERS_FROM, dtype=torch.bool))

    def forward(self, rows: Tensor, tfidf: Tfidf | None) -> tuple[Tensor, Tensor]:
        """(n, L, 2) -> log-probabilities (n, C), shares (n, 2)

        While a network is trained its rows are features, without n-grams: then all are 0.
        """
        if tfidf is None or rows.is_floating_point():
            return rows.new_zeros(rows.shape[0], len(self.bias)), rows.new_zeros(rows.shape[0], N_SHARES)
        return self.classify(*tfidf(rows)), self.measure_known(rows)

    def classify(self, buckets: Tensor, values: Tensor) -> Tensor:
        """Return the linear expert's log-probabilities: (n, L), (n, L) -> (n, C)"""
        words = buckets * (buckets < len(self.weights))  # they come before all n-grams of characters
        return F.log_softmax(sum_products(words, values, self.weights) + self.bias, dim=-1)

    def measure_known(self, rows: Tensor) -> Tensor:
        """Return the shares of known tokens and of known word n-grams: (n, L, 2) -> (n, 2)

        Of few n-grams a share is nearer to one half, for it says less.
        """
        ids, counts = rows.unbind(-1)
        is_word = ids < CHARACTERS_FROM
        known = self.known[(ids * is_word).long()] * counts
        is_token = ids < WORD_NGRAMS_FROM
        parts = [
            (known * part).sum(1).float().add(0.5) / (counts * part).sum(1).float().add(1)
            for part in (is_token, is_word & ~is_token)
        ]
        return torch.stack(parts, dim=-1)

    def fit_known(self, rows: NDArray[Any]) -> None:
        """Note the n-grams of the training texts, an object array of (n-grams, 2)."""
        self.known.zero_()
        for start in range(0, len(rows), PIECE):
            ids = concatenate_rows(rows[start : start + PIECE])[0][:, 0].long()
            self.known[ids[ids < CHARACTERS_FROM]] = True

    def fit_linear(self, rows: NDArray[Any], labels: NDArray[np.int64], inverse: float, tfidf: Tfidf) -> None:
        """Fit the linear expert to training texts; `inverse` is the inverse strength of regularisation.

        A class without texts has weights of 0. Where all texts are of one class, nothing is fitted.
        """
        if len(np.unique(labels)) < 2:  # there may be no text at all
            return
        fitted = fit_regression(make_tfidf(rows, tfidf)[:, 1 : len(self.weights)], labels, inverse)
        assert fitted is not None
        at = torch.from_numpy(fitted.classes)
        self.weights.zero_()
        self.weights[1:, at] = torch.from_numpy(fitted.weights).half()
        self.bias.zero_()
        self.bias[at] = torch.from_numpy(fitted.bias).float()
