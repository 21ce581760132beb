"""The encoder of a text modality, where the spec says `auto`.

Each candidate is trained for a short while, as it would be in the network, and judged on training rows that
were held out of it. `lsa` is chosen unless another is better by a margin: it answers fastest.

Letters: n texts, C classes.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.modalities import TextModality

from tailfuse.modalities.ragged import keep_apart

if TYPE_CHECKING:
    from torch import nn

DEFAULT = "lsa"
MAX_LOSS_LEFT = 0.97  # of the loss of lsa
MAX_TEXTS = 2000  # those that a BERT embeds in half a minute of a core
MIN_TEXTS = 200  # fewer judge the encoders poorly
MIN_CLASS_TEXTS = 8  # of a class that takes part
EVERY = 4  # of a class's texts every fourth judges
STEPS, BATCH = 300, 128

Build = Callable[[TextModality], "nn.Module"]


class Trial(NamedTuple):
    """Texts that take part, and which of them judge."""

    texts: list[str]
    codes: NDArray[np.int64]  # (n,), 0..C-1
    judges: NDArray[np.bool_]  # (n,)


def choose_encoder(
    candidates: dict[str, TextModality],
    build: Build,
    texts: Sequence[str],
    labels: NDArray[np.int64],
    seed: int,
) -> TextModality:  # fmt: skip
    """Return the best of the fitted candidates by name, with the held-out loss of each; `lsa` is one of them.

    `texts` are those of the training rows, and `labels` (n,) their classes.
    """
    trial = draw_trial(texts, labels, seed)
    if trial is None:
        return candidates[DEFAULT]
    losses = {
        name: round(measure_loss(modality, build, trial, seed), 4) for name, modality in candidates.items()
    }
    best = min(losses, key=losses.__getitem__)
    chosen = best if losses[best] < MAX_LOSS_LEFT * losses[DEFAULT] else DEFAULT
    return candidates[chosen].model_copy(update={"trial_losses": losses})


def draw_trial(texts: Sequence[str], labels: NDArray[np.int64], seed: int) -> Trial | None:
    """Draw the texts of the trial; None if too few are left, or all are of one class."""
    drawn = np.random.default_rng(seed).permutation(len(texts))[:MAX_TEXTS]
    counts = np.bincount(labels[drawn], minlength=1)
    drawn = drawn[counts[labels[drawn]] >= MIN_CLASS_TEXTS]
    names, codes = np.unique(labels[drawn], return_inverse=True)
    if len(drawn) < MIN_TEXTS or len(names) < 2:
        return None
    judges = np.zeros(len(codes), np.bool_)
    for code in range(len(names)):
        judges[np.flatnonzero(codes == code)[::EVERY]] = True
    return Trial([texts[at] for at in drawn], codes, judges)


def measure_loss(modality: TextModality, build: Build, trial: Trial, seed: int) -> float:
    """Train an encoder and a linear layer on it; the class-balanced negative log-likelihood of the judges."""
    import torch

    from tailfuse.modalities.brief_training import train_briefly

    apply = modality.make_rows().apply
    made = [apply(text) for text in trial.texts]
    present = np.array([row is not None for row in made])
    codes, judges = trial.codes[present], trial.judges[present]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build(modality)
        rows = compute_features(encoder, keep_apart([row for row in made if row is not None]), judges, seed)
        return train_briefly(
            encoder, rows, codes, judges, n_classes=int(trial.codes.max()) + 1, steps=STEPS, batch_size=BATCH,
            seed=seed,
        )  # fmt: skip


def compute_features(
    encoder: "nn.Module", rows: NDArray[Any], judges: NDArray[np.bool_], seed: int
) -> NDArray[Any]:
    """Return a frozen encoder's features, fitted to the rows that do not judge; of others the rows."""
    from tailfuse.modalities.text.encoder import find_projection

    projection = find_projection(encoder)
    return rows if projection is None else projection.fit_features(rows, np.flatnonzero(~judges), seed=seed)
