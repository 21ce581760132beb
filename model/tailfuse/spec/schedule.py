"""How long a network trains and how many folds there are: as the spec says, or as fits the training rows.

A table of 100 rows needs every one of 200 epochs. In a table of 100,000 rows each epoch takes as many steps
as the small one's whole training, and the network has converged long before the 200th.
"""

from typing import NamedTuple

from tailfuse.spec.schema import TrainingSpec

MAX_EPOCHS = 200
MAX_STEPS = 8000  # reached by 5,120 rows in batches of 128
PATIENCE = 40  # epochs, of a schedule of MAX_EPOCHS or of a length that the spec gives
PATIENCE_SHARE = 0.3  # of a shorter schedule
FOLDS, MIN_FOLDS = 4, 2
MAX_ROWS_FOR_FOLDS = 5000  # above, MIN_FOLDS leave each fold network enough rows


class Schedule(NamedTuple):
    """The length of a training. One epoch is one pass over the training rows."""

    epochs: int
    patience: int  # epochs without a better validation loss, after which training stops
    folds: int


def choose_schedule(training: TrainingSpec, n_rows: int) -> Schedule:
    """Choose what the spec leaves open by the number of training rows.

    >>> choose_schedule(TrainingSpec(), 1000)
    Schedule(epochs=200, patience=40, folds=4)
    >>> choose_schedule(TrainingSpec(), 16_000)
    Schedule(epochs=64, patience=19, folds=2)
    """
    epochs, patience, folds = training.epochs, training.patience, training.folds
    if patience is None:
        patience = PATIENCE
    if epochs is None:
        epochs = max(1, min(MAX_EPOCHS, MAX_STEPS // count_steps(n_rows, training.batch_size)))
        if training.patience is None:
            patience = min(PATIENCE, max(1, round(PATIENCE_SHARE * epochs)))
    if folds is None:
        folds = FOLDS if n_rows <= MAX_ROWS_FOR_FOLDS else MIN_FOLDS
    return Schedule(epochs, patience, folds)


def count_steps(n_rows: int, batch_size: int) -> int:
    """Count the batches of one epoch, which are of nearly equal size."""
    return max(1, round(n_rows / batch_size))
