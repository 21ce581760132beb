"""The encoder of a series modality, where the spec says `auto`.

Each candidate is trained for a short while, as it would be in the network, and judged by rows that were held
out of it, in folds: every row judges once. One that is far behind in the first fold leaves the trial, so that
a slow encoder that does not fit the series costs little.

Letters: n rows, C classes.
"""

import hashlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tailfuse_service.modalities import SeriesModality

from tailfuse.files.cache import cached, make_key

if TYPE_CHECKING:
    from torch import nn

ENCODERS = ("fixed", "logmel", "conv")
DEFAULT = "fixed"  # of few rows: nothing of its features is trained
FOLDS = 3
MAX_ROWS = 1500
MAX_NUMBERS = 2**27  # of these rows, 512 MB: of very long series fewer rows take part
MAX_DEVIATIONS = 1e6  # as in a network: the square of 1e30 is infinite
MIN_ROWS = 60  # fewer judge the encoders poorly
MIN_CLASS_ROWS = 6  # of a class that takes part: two judge in each fold
MAX_BEHIND = (
    0.5  # of the loss of a guess, above the best in the first fold: other folds do not make up for it
)
STEPS, BATCH = 200, 64  # on 600 sounds of a second, a sixth of the steps of a training and half the batch

Build = Callable[..., "nn.Module"]


class Trial(NamedTuple):
    """Rows that take part, and those that judge in each fold."""

    rows: NDArray[np.float32]  # (n, time, channels + 1)
    codes: NDArray[np.int64]  # (n,), 0..C-1
    judges: list[NDArray[np.bool_]]  # of each fold (n,)


def choose_encoder(
    modality: SeriesModality, build: Build, rows: NDArray[np.float32], labels: NDArray[np.int64],
    groups: NDArray[np.int64], seed: int,
) -> SeriesModality:  # fmt: skip
    """Return the modality with the encoder of the lowest held-out loss, and the losses.

    `rows` are the training rows, `labels` and `groups` (n,) theirs. Few rows get the default.
    """
    trial = draw_trial(rows, labels, groups, seed)
    if trial is None:
        return modality
    losses = measure_cached_losses(modality, build, trial, seed)
    chosen = min(losses, key=losses.__getitem__)
    return modality.model_copy(update={"encoder": chosen, "trial_losses": losses})


def draw_trial(
    rows: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> Trial | None:
    """Draw the rows of the trial and its folds; None if too few rows or groups are left, or one class."""
    from sklearn.model_selection import StratifiedGroupKFold

    n_drawn = min(MAX_ROWS, MAX_NUMBERS // math.prod(rows.shape[1:]))
    drawn = np.random.default_rng(seed).permutation(len(rows))[:n_drawn]
    counts = np.bincount(labels[drawn], minlength=1)
    drawn = drawn[counts[labels[drawn]] >= MIN_CLASS_ROWS]
    names, codes = np.unique(labels[drawn], return_inverse=True)
    n_groups = len(np.unique(groups[drawn]))
    if len(drawn) < MIN_ROWS or len(names) < 2 or n_groups < FOLDS:
        return None
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    judges = [
        np.isin(np.arange(len(drawn)), held)
        for _, held in folds.split(drawn, codes, groups[drawn])
        if 0 < len(held) < len(drawn)
    ]
    return Trial(rows[drawn].clip(-MAX_DEVIATIONS, MAX_DEVIATIONS), codes, judges)


def measure_cached_losses(
    modality: SeriesModality, build: Build, trial: Trial, seed: int
) -> dict[str, float]:
    """Measure the loss of each encoder, or read it from the cache.

    A run that goes on, or is exported anew, shall have the encoder that it began with, without another trial.
    """
    import torch

    def measure() -> list[NDArray[np.float64]]:
        return [np.array(list(measure_losses(modality, build, trial, seed).values()))]

    digest = hashlib.sha256(np.ascontiguousarray(trial.rows).data)
    for each in (trial.codes, *trial.judges):
        digest.update(each.tobytes())
    settings = (ENCODERS, STEPS, BATCH, MAX_BEHIND, seed, torch.__version__)
    name = "trial-" + make_key(digest.hexdigest(), trial.rows.shape, modality.model_dump_json(), settings)
    found = cached(name, (len(ENCODERS),), np.float64, measure)
    return dict(zip(ENCODERS, found.tolist(), strict=True))


def measure_losses(modality: SeriesModality, build: Build, trial: Trial, seed: int) -> dict[str, float]:
    """Measure the mean loss of each encoder over the folds; of those far behind that of the first fold."""
    measured = {name: [measure_fold(name, modality, build, trial, 0, seed)] for name in ENCODERS}
    best = min(losses[0] for losses in measured.values())
    limit = best + MAX_BEHIND * math.log(int(trial.codes.max()) + 1)
    for name, losses in measured.items():
        if losses[0] <= limit:
            losses += [
                measure_fold(name, modality, build, trial, fold, seed) for fold in range(1, len(trial.judges))
            ]
    return {name: round(float(np.mean(losses)), 4) for name, losses in measured.items()}


def measure_fold(
    name: str, modality: SeriesModality, build: Build, trial: Trial, fold: int, seed: int
) -> float:
    """Train an encoder on the rows that do not judge in a fold, and return the loss of those that do."""
    import torch

    from tailfuse.modalities.brief_training import DROPOUT, INPUT_DROPOUT, WIDTH, train_briefly

    judges = trial.judges[fold]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build(
            modality.model_copy(update={"encoder": name}), width=WIDTH, dropout=DROPOUT,
            input_dropout=INPUT_DROPOUT,
        )  # fmt: skip
        return train_briefly(
            encoder, compute_features(encoder, trial.rows, judges), trial.codes, judges,
            n_classes=int(trial.codes.max()) + 1, steps=STEPS, batch_size=BATCH, seed=seed,
        )  # fmt: skip


def compute_features(
    encoder: "nn.Module", rows: NDArray[np.float32], judges: NDArray[np.bool_]
) -> NDArray[Any]:
    """Return the features of an encoder that has fixed ones, scaled by the rows that do not judge.

    Of other encoders the rows.
    """
    import torch

    from tailfuse.modalities.pretrained import Pretrained

    if not isinstance(encoder, Pretrained):
        return rows
    with torch.no_grad():
        pieces = torch.from_numpy(rows).split(BATCH)
        features = torch.cat([encoder.backbone(piece) for piece in pieces])
        encoder.scale.fit(features[torch.from_numpy(~judges)])
        scaled: NDArray[np.float32] = encoder.scale(features).numpy()
    return scaled
