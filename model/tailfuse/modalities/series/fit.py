"""Time series are fitted: the number of channels, and the mean and scale of each."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.bundle import InvalidInput
from tailfuse_service.modalities import SeriesModality
from tailfuse_service.modalities.series import Channel
from tailfuse_service.modalities.series.features import Steps, read_steps, shorten, with_noun

from tailfuse.errors import TableError
from tailfuse.files.cells import Unreadable
from tailfuse.files.table import Rows, place
from tailfuse.modalities.files import UnreadableFile, name_source, report_unreadable
from tailfuse.modalities.series.raw import read_series

log = logging.getLogger("tailfuse")


def fit_series(
    name: str,
    columns: Sequence[str],
    length: int,
    table: pl.DataFrame,
    rows: Rows,
    folder: Path,
    unreadable: Unreadable = "stop",
) -> SeriesModality:
    """Fit as many channels as the first series has: their means and scales. Raises TableError."""
    failed: list[tuple[str, UnreadableFile]] = []
    present = iterate_steps(table, name, columns, folder, rows, failed)
    first = next(present, None)
    if first is None:
        report_unreadable(name, failed, len(failed), unreadable)
        raise TableError(f"{place(name, columns[0])}: missing in every training row")
    if first.shape[1] > len(first):
        log.warning(
            "modality '%s': its first series has %s and %s; a series is (time, channels)",
            name, with_noun(len(first), "step"), with_noun(first.shape[1], "channel"),
        )  # fmt: skip
    with np.errstate(over="ignore", invalid="ignore"):
        # After averaging, as the steps are used: those of a sound are then far smaller.
        mean, scale = measure_moments(shorten(each, length) for each in chain([first], present))
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        raise TableError(f"{place(name, columns[0])}: the numbers are too large to scale")
    channels = zip(mean.tolist(), scale.tolist(), strict=True)
    return SeriesModality(
        columns=tuple(columns), channels=tuple(Channel(mean=m, scale=s) for m, s in channels), length=length,
        unreadable=unreadable,
    )  # fmt: skip


def iterate_steps(
    table: pl.DataFrame,
    name: str,
    columns: Sequence[str],
    folder: Path,
    rows: Rows,
    unreadable: list[tuple[str, UnreadableFile]],
) -> Iterator[Steps]:
    """Yield the steps of each series that is present, and add those that cannot be read to `unreadable`.

    Raises TableError.
    """
    for row, raw in zip(rows.tolist(), read_series(table, name, columns, folder, rows), strict=True):
        where = f"row {row + 1}" + (name_source(table, columns[0], row) if len(columns) == 1 else "")
        if isinstance(raw, UnreadableFile):
            unreadable.append((where, raw))
            continue
        try:
            found = None if raw is None else read_steps(name, raw, columns)
        except InvalidInput as error:
            raise TableError(f"{where}: {error.detail}") from None
        if found is not None:
            yield found


def measure_moments(series: Iterable[Steps]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure mean and standard deviation of each channel over all steps; that of a constant channel is 1."""
    start, count, total, squares = (np.zeros(0) for _ in range(4))
    for each in series:
        if not len(start):
            # Sums of differences from the first values keep their digits.
            start = np.nan_to_num(each[(~np.isnan(each)).argmax(0), np.arange(each.shape[1])])
            count, total, squares = (np.zeros(len(start)) for _ in range(3))
        if each.shape[1] == len(start):  # others raise an error when they are decoded
            left = each - start
            count += (~np.isnan(left)).sum(0)
            total += np.nansum(left, axis=0)
            squares += np.nansum(left * left, axis=0)
    shift = total / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - shift * shift, 0.0))
    mean = start + shift
    # A constant's deviation is not always exactly 0.
    return mean, np.where(deviation <= 1e-12 * np.abs(mean), 1.0, deviation)
