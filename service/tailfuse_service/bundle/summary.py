"""What input drift looks at: a few numbers of each row, and how often they were what on the evaluated rows.

The same code writes a bundle's reference and summarises what is served. Evaluated rows, as for weights and
confidences: drift means that the bundle's metrics are no longer those of what is served. Training rows may
have other shares of the classes on purpose, and then differ from them as traffic does that has drifted.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle.features.tabular import width_of
from tailfuse_service.bundle.manifest import (
    BooleanColumn,
    CategoryColumn,
    ImageModality,
    InputReference,
    Modality,
    NumberColumn,
    SeriesModality,
    TabularModality,
    TextModality,
)

MOST_INPUTS = 64  # columns, or numbers of channels; further ones are not watched
MOST_POINTS = 1000  # pixels of a picture and steps of a series; of more every k-th is taken
MOST_BINS = 10
# PSI of n rows without drift is about bins * (1 / n + 1 / rows of the reference). With so few bins that this
# is NOISE at ROWS rows, an alert at 0.25 is none by chance.
NOISE, ROWS = 0.075, 200
EDGE_OF_ONE = 1e-3  # width of the only value that there was, as a share of it

Values = NDArray[np.float32]  # (n, inputs), NaN is missing


class Summary(NamedTuple):
    """The names of a modality's inputs, and what makes their values, (n, inputs), of rows, (n, ...)."""

    names: list[str]
    values_of: Callable[[NDArray[Any]], Values]


def summary_of(modality: Modality) -> Summary:
    """The summary of a modality's rows, as they come from its features."""
    if isinstance(modality, TabularModality):
        return of_tabular(modality)
    if isinstance(modality, ImageModality):
        return of_image(modality)
    if isinstance(modality, TextModality):
        return of_text(modality)
    return of_series(modality)


def of_tabular(modality: TabularModality) -> Summary:
    """Each column: a number standardised, a boolean as -1 or 1, a category by its number.

    Last the root mean square of a row's numbers: noise may look like each of the columns, but not like all
    of them together.
    """
    columns = modality.columns[:MOST_INPUTS]
    widths = [width_of(column) for column in columns]
    starts = [sum(widths[:at]) for at in range(len(widths))]
    booleans = [at for at, column in enumerate(columns) if isinstance(column, BooleanColumn)]
    indicators = [
        (at, starts[at] + 1)
        for at, column in enumerate(columns)
        if isinstance(column, NumberColumn) and column.indicator
    ]
    categories = [
        (at, slice(starts[at], starts[at] + widths[at]))
        for at, column in enumerate(columns)
        if isinstance(column, CategoryColumn)
    ]
    numbers = [starts[at] for at, column in enumerate(columns) if isinstance(column, NumberColumn)]
    first = np.minimum(starts, max(modality.width - 1, 0))  # a category that has none takes no slot

    def values_of(rows: NDArray[Any]) -> Values:
        values = rows[:, first]
        for at in booleans:
            values[values[:, at] == 0, at] = np.nan
        for at, indicator in indicators:
            values[rows[:, indicator] != 0, at] = np.nan
        for at, slots in categories:
            one_hot = rows[:, slots]
            values[:, at] = np.where(one_hot.any(1), one_hot.argmax(1), np.nan) if one_hot.size else np.nan
        if len(numbers) < 2:
            return values
        together = np.sqrt(np.square(rows[:, numbers].clip(-1e9, 1e9)).mean(1, keepdims=True))
        return np.concatenate([values, together], axis=1)

    names = [column.name for column in columns]
    return Summary(names if len(numbers) < 2 else [*names, "all numbers"], values_of)


def of_image(modality: ImageModality) -> Summary:
    """Mean and standard deviation of the pixels, and the mean step from one to its neighbour, all 0..1."""
    step = math.ceil(math.sqrt(modality.height * modality.width / MOST_POINTS))
    columns = np.arange(0, modality.width, step)
    neighbours = np.minimum(columns + 1, modality.width - 1)

    def values_of(rows: NDArray[Any]) -> Values:
        lines = rows[:, :, ::step].astype(np.float32) / np.float32(255)
        pixels = lines[..., columns]
        steps = np.abs(lines[..., neighbours] - pixels)
        over = (1, 2, 3)
        return np.stack([pixels.mean(over), pixels.std(over), steps.mean(over)], axis=1)

    return Summary(["brightness", "contrast", "detail"], values_of)


def of_text(modality: TextModality) -> Summary:
    """How many n-grams, which share of them came before, and the mean of their buckets, 0..1.

    Hashes are random, but the same word always has the same: other words have another mean.
    """

    def values_of(rows: NDArray[Any]) -> Values:
        words = (rows > 0).sum(1)
        ordered = np.sort(rows, axis=1)
        repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > 0)).sum(1)
        some = np.maximum(words, 1)
        values = np.stack([words, repeated / some, rows.sum(1) / some / modality.buckets], axis=1)
        return values.astype(np.float32)

    return Summary(["words", "repeats", "vocabulary"], values_of)


def of_series(modality: SeriesModality) -> Summary:
    """How many steps, and mean and standard deviation of each channel."""
    n_channels = len(modality.channels)
    step = math.ceil(modality.length / MOST_POINTS)
    shown = min(n_channels, (MOST_INPUTS - 1) // 2)
    if n_channels == 1:
        channels = [""]
    elif len(modality.columns) == n_channels:
        channels = [f"{column} " for column in modality.columns]
    else:
        channels = [f"channel {at} " for at in range(1, n_channels + 1)]
    names = [f"{channel}{what}" for channel in channels[:shown] for what in ("mean", "spread")]

    def values_of(rows: NDArray[Any]) -> Values:
        some = rows[:, ::step]
        mask = some[:, :, -1:]
        count = np.maximum(mask.sum(1), 1)
        values = np.clip(some[:, :, :shown], -1e9, 1e9)  # their squares are finite
        mean = (values * mask).sum(1) / count
        spread = np.sqrt((((values - mean[:, None]) * mask) ** 2).sum(1) / count)
        both = np.stack([mean, spread], axis=2).reshape(len(rows), -1)
        return np.concatenate([rows[:, :, -1].sum(1, keepdims=True), both], axis=1, dtype=np.float32)

    return Summary(["length", *names], values_of)


def input_references(modality: Modality, rows: Iterable[NDArray[Any]]) -> tuple[InputReference, ...]:
    """How often each input was what, of rows that come a few at a time."""
    names, values_of = summary_of(modality)
    values = np.concatenate([np.zeros((0, len(names)), np.float32), *map(values_of, rows)])
    return tuple(
        InputReference(name=name, edges=(edges := edges_of(each)), counts=tuple(counts_of(each, edges)))
        for name, each in zip(names, values.T, strict=True)
    )


def edges_of(values: Values) -> tuple[float, ...]:
    """Edges that have about as many values, (n,), between them; few different ones get a bin each.

    Those lie within two further bins, for what was never seen. Of many, what was never seen falls into the
    outer bins, which hold a tenth of the values each.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    different = np.unique(known)
    n_bins = bins_for(len(known))
    if len(different) > n_bins:
        return tuple(np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins)).tolist())
    if not len(different):
        return ()
    gaps = np.diff(different) if len(different) > 1 else EDGE_OF_ONE * np.maximum(np.abs(different), 1)
    lowest, highest = different[0] - gaps[0] / 2, different[-1] + gaps[-1] / 2
    return float(lowest), *(different[:-1] + np.diff(different) / 2).tolist(), float(highest)


def bins_for(n_rows: int) -> int:
    """How many bins a reference of so many rows is good for."""
    return min(max(round(NOISE / (1 / ROWS + 1 / max(n_rows, 1))), 2), MOST_BINS)


def counts_of(values: Values, edges: tuple[float, ...]) -> list[int]:
    """How many of the values, (n,), are in each bin; one at an edge is below it, missing ones come last."""
    missing = np.isnan(values)
    bins = np.where(missing, len(edges) + 1, np.searchsorted(edges, values))
    return np.bincount(bins, minlength=len(edges) + 2).tolist()  # type: ignore[no-any-return]
