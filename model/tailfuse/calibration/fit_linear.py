"""Fit the linear experts of every network of a training to the training rows of that network.

A network's linear expert has never seen the calibration rows that the network scores: a regression that has
seen a row is certain of it, and the posterior would trust it far too much.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tailfuse.calibration.calibration_set import compute_row_weights, select_class
from tailfuse.calibration.fit_confidence import find_best_weight
from tailfuse.data.classes import order_by_class
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.modalities.ragged import pad_rows
from tailfuse.modalities.tabular.encoder import Mlp
from tailfuse.modalities.text.encoder import find_ngram_buckets, find_projection
from tailfuse.modalities.text.lsa import Tfidf
from tailfuse.network.linear import LinearExpert
from tailfuse.network.network import Network
from tailfuse.network.ngrams import NgramExperts

# Inverse strengths of regularisation. On three tables of texts the middle one was best; few rows want less.
TEXT_INVERSES, DEFAULT_TEXT_INVERSE = (0.3, 1.0, 3.0, 10.0), 3.0
# Columns are standardised. Hundreds of them on few rows want the strongest regularisation.
COLUMN_INVERSES, DEFAULT_COLUMN_INVERSE = (0.001, 0.01, 0.1, 1.0), 0.1
# A regression on more would take longer than the network. Rows of frequent classes are left out first; the
# prior that is taken off is that of the others.
MAX_NUMBERS = 8_000_000  # columns times rows
MAX_TEXTS = 32_000
JUDGING_ROWS = 4000  # that choose the regularisation
PIECE = 256  # rows that are scored at once


class FoldNetwork(NamedTuple):
    """A network, the rows it was trained on, and rows it was not trained on, if any are kept for that."""

    network: Network
    train: SplitArrays
    held: SplitArrays | None


class Trial(NamedTuple):
    """The linear expert of a modality, as functions that are alike for texts and for columns."""

    fit: Callable[[NDArray[Any], NDArray[np.int64], float], None]  # rows, labels, inverse strength
    score: Callable[[NDArray[Any]], Tensor]  # rows -> log-probabilities (n, C)
    inverses: tuple[float, ...]
    default: float


@torch.no_grad()
def fit_linear_experts(networks: Sequence[FoldNetwork]) -> None:
    """Fit the linear experts of all networks; the first fold's rows choose the regularisation."""
    final = networks[0].network
    for name, encoder in zip(final.modalities, final.encoders, strict=True):
        if find_ngram_buckets(encoder) is None and not isinstance(encoder, Mlp):
            continue
        inverse = make_trial(final, name).default
        for network, train, held in networks:
            if held is not None:
                inverse = choose_inverse(make_trial(network, name), train, held, name)
                break
        for network, train, _ in networks:
            rows, labels = select_rows(train, name)
            make_trial(network, name).fit(rows, labels, inverse)
            if find_ngram_buckets(encoder) is not None:
                network.ngrams(name).fit_known(rows)


def make_trial(network: Network, name: str) -> Trial:
    """Return the linear expert of a network's modality."""
    encoder = network.encoders[network.modalities.index(name)]
    if find_ngram_buckets(encoder) is not None:
        projection = find_projection(encoder)
        assert projection is not None
        assert projection.tfidf is not None
        return make_ngram_trial(network.ngrams(name), projection.tfidf)
    assert isinstance(encoder, Mlp)
    return make_column_trial(network.linear_expert(name), encoder)


def make_ngram_trial(experts: NgramExperts, tfidf: Tfidf) -> Trial:
    """Return the linear expert of a modality of texts."""

    def fit(rows: NDArray[Any], labels: NDArray[np.int64], inverse: float) -> None:
        kept = choose_rows(labels, MAX_TEXTS)
        experts.fit_linear(rows[kept], labels[kept], inverse, tfidf)

    def score(rows: NDArray[Any]) -> Tensor:
        pieces = [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]
        return torch.cat(
            [experts.classify(*tfidf(torch.from_numpy(pad_rows(piece, piece)))) for piece in pieces]
        )

    return Trial(fit, score, TEXT_INVERSES, DEFAULT_TEXT_INVERSE)


def make_column_trial(expert: LinearExpert, encoder: Mlp) -> Trial:
    """Return the linear expert of a modality of columns."""

    def spread(rows: NDArray[Any]) -> Tensor:
        return encoder.spread_columns(torch.from_numpy(rows).to(expert.bias.device))

    def fit(rows: NDArray[Any], labels: NDArray[np.int64], inverse: float) -> None:
        kept = choose_rows(labels, MAX_NUMBERS // encoder.n_columns)
        expert.fit(spread(rows[kept]), labels[kept], inverse)

    def score(rows: NDArray[Any]) -> Tensor:
        log_p: Tensor = expert(spread(rows))
        return log_p.cpu()

    return Trial(fit, score, COLUMN_INVERSES, DEFAULT_COLUMN_INVERSE)


def choose_rows(labels: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Choose at most as many rows as the limit, evenly over the classes, in their order."""
    return np.sort(order_by_class(labels)[:limit])


def select_rows(part: SplitArrays, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the rows that have a modality, apart from each other, and their labels."""
    only = part.only([name])
    return only.inputs[name][only.position[name]], only.labels


def choose_inverse(trial: Trial, train: SplitArrays, held: SplitArrays, name: str) -> float:
    """Choose the regularisation with the best class-balanced likelihood of rows that were left out."""
    rows, labels = select_rows(held.take(choose_rows(held.labels, JUDGING_ROWS)), name)
    train_rows, train_labels = select_rows(train, name)
    if not len(rows) or not len(train_rows):
        return trial.default
    target = torch.from_numpy(labels)
    weight = compute_row_weights(target)

    def loss(log_p: Tensor) -> Tensor:
        return -(select_class(F.log_softmax(log_p, dim=-1), target) * weight).mean()

    losses = []
    for inverse in trial.inverses:
        trial.fit(train_rows, train_labels, inverse)
        log_p = trial.score(rows)
        losses.append(float(loss(find_best_weight(log_p, loss) * log_p)))
    return trial.inverses[int(np.argmin(losses))]
