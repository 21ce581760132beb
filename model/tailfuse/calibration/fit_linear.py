"""Fit the experts on n-grams of every network of a training to the training rows of that network.

A network's linear expert has never seen the calibration rows that the network scores: a regression that has
seen a row is certain of it, and the posterior would trust it far too much.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from tailfuse.calibration.calibration_set import compute_row_weights, select_class
from tailfuse.calibration.fit_confidence import find_best_weight
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.modalities.ragged import pad_rows
from tailfuse.modalities.text.encoder import find_ngram_buckets, find_projection
from tailfuse.modalities.text.lsa import Tfidf
from tailfuse.network.network import Network
from tailfuse.network.ngrams import NgramExperts

# Inverse strengths of regularisation. On three tables of texts the middle one was best; few rows want less.
INVERSES, DEFAULT_INVERSE = (0.3, 1.0, 3.0, 10.0), 3.0


class FoldNetwork(NamedTuple):
    """A network, the rows it was trained on, and rows it was not trained on, if any are kept for that."""

    network: Network
    train: SplitArrays
    held: SplitArrays | None


@torch.no_grad()
def fit_ngram_experts(networks: Sequence[FoldNetwork]) -> None:
    """Fit the experts on n-grams of all networks; the first fold's rows choose the regularisation."""
    final = networks[0].network
    for name, encoder in zip(final.modalities, final.encoders, strict=True):
        if find_ngram_buckets(encoder) is None:
            continue
        projection = find_projection(encoder)
        assert projection is not None
        assert projection.tfidf is not None
        tfidf = projection.tfidf
        inverse = DEFAULT_INVERSE
        for network, train, held in networks:
            if held is not None:
                inverse = choose_inverse(network.ngrams(name), train, held, name, tfidf)
                break
        for network, train, _ in networks:
            rows, labels = select_texts(train, name)
            network.ngrams(name).fit_known(rows)
            network.ngrams(name).fit_linear(rows, labels, tfidf, inverse)


def select_texts(part: SplitArrays, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the rows that have a modality of texts, apart from each other, and their labels."""
    only = part.only([name])
    return only.inputs[name][only.position[name]], only.labels


def choose_inverse(
    experts: NgramExperts, train: SplitArrays, held: SplitArrays, name: str, tfidf: Tfidf
) -> float:
    """Choose the regularisation with the best class-balanced likelihood of rows that were left out."""
    rows, labels = select_texts(held, name)
    train_rows, train_labels = select_texts(train, name)
    if not len(rows) or not len(train_rows):
        return DEFAULT_INVERSE
    padded = torch.from_numpy(pad_rows(rows, rows))
    target = torch.from_numpy(labels)
    weight = compute_row_weights(target)

    def loss(log_p: torch.Tensor) -> torch.Tensor:
        return -(select_class(F.log_softmax(log_p, dim=-1), target) * weight).mean()

    losses = []
    for inverse in INVERSES:
        experts.fit_linear(train_rows, train_labels, tfidf, inverse)
        log_p = experts.classify(*tfidf(padded))
        losses.append(float(loss(find_best_weight(log_p, loss) * log_p)))
    return INVERSES[int(np.argmin(losses))]
