"""Generated tables with skewed columns and a long tail of classes, to compare encoders of numbers on.

Training and validation rows have a long tail; of each class there are equally many test rows. A generator
draws the columns of rows from their classes. The seed determines everything.

Letters: N rows, C classes, W columns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

N_CLASSES = 6
RATIOS = (50, 1000)  # of the most frequent class to the rarest
MIN_ROWS = {50: 40, 1000: 4}  # training rows of the rarest class
TEST_ROWS = 200  # of each class
VAL_SHARE = 0.15  # of a class's training rows, in addition to them

Generator = np.random.Generator
Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class SkewedTable:
    """A kind of table: `draw` makes columns from the classes; `modalities` has patterns of columns."""

    name: str
    draw: Callable[[Labels, Generator], Columns]
    modalities: Mapping[str, str]


def make_table(kind: SkewedTable, ratio: int, seed: int) -> pl.DataFrame:
    """Return a table with a `label`, a `split` and the columns of its kind."""
    random = np.random.default_rng([seed, ratio, *kind.name.encode()])
    counts = [round(MIN_ROWS[ratio] * ratio ** (1 - at / (N_CLASSES - 1))) for at in range(N_CLASSES)]
    labels, split = [], []
    for label, count in enumerate(counts):
        n_val = max(2, round(VAL_SHARE * count))
        labels += [label] * (count + n_val + TEST_ROWS)
        split += ["train"] * count + ["val"] * n_val + ["test"] * TEST_ROWS
    classes = np.array(labels)
    columns = kind.draw(random.permutation(N_CLASSES)[classes], random)
    order = random.permutation(len(classes))
    table = pl.DataFrame({**columns, "label": [f"class {each}" for each in labels], "split": split})
    return table[order].fill_nan(None)


def draw_counts(labels: Labels, random: Generator) -> Columns:
    """Return counts with many zeros: negative binomial, the logarithms of their rates by class."""
    rates = random.normal(1.0, 1.0, (N_CLASSES, 12))
    noise = random.gamma(0.7, 1 / 0.7, (len(labels), 12))
    return name_columns(random.poisson(np.exp(rates[labels]) * noise))


def draw_amounts(labels: Labels, random: Generator) -> Columns:
    """Return log-normal amounts of common size, which differs by row; the class decides their ratios."""
    shares = random.normal(0.0, 0.6, (N_CLASSES, 10))
    size = random.normal(4.0, 2.0, (len(labels), 1))
    return name_columns(np.exp(size + shares[labels] + random.normal(0, 0.8, (len(labels), 10))).round(2))


def draw_durations(labels: Labels, random: Generator) -> Columns:
    """Return Weibull durations; the class decides their scale and shape, and how often they are 0."""
    scale = np.exp(random.normal(3.0, 0.7, (N_CLASSES, 10)))
    shape = random.uniform(0.4, 2.0, (N_CLASSES, 10))
    zero = random.beta(1.0, 4.0, (N_CLASSES, 10))
    values = scale[labels] * random.weibull(shape[labels])
    return name_columns(np.where(random.random(values.shape) < zero[labels], 0.0, values).round(3))


def draw_heavy_tails(labels: Labels, random: Generator) -> Columns:
    """Return Student-t numbers of 1.2 degrees of freedom on both sides of a centre that the class decides."""
    centre = random.normal(0.0, 1.0, (N_CLASSES, 10))
    return name_columns(centre[labels] + random.standard_t(1.2, (len(labels), 10)))


def draw_ranges(labels: Labels, random: Generator) -> Columns:
    """Return skewed numbers; of the twelve ranges of a column each class has five."""
    n, ranges = len(labels), 12
    ranks = random.random((n, 8))
    for column in range(8):
        allowed = np.stack([random.permutation(ranges)[:5] for _ in range(N_CLASSES)])
        chosen = allowed[labels, random.integers(0, 5, n)]
        inside = (chosen + random.random(n)) / ranges
        ranks[:, column] = np.where(random.random(n) < 0.75, inside, ranks[:, column])
    return name_columns(-(np.log1p(-ranks) ** 3))


def draw_interactions(labels: Labels, random: Generator) -> Columns:
    """Return numbers whose signs, multiplied in pairs, tell the class; none tells it alone."""
    n, pairs = len(labels), 6
    values = random.normal(size=(n, 2 * pairs))
    likely = random.choice([-1.0, 1.0], (N_CLASSES, pairs))
    while len(np.unique(likely, axis=0)) < N_CLASSES:
        likely = random.choice([-1.0, 1.0], (N_CLASSES, pairs))
    wanted = np.where(random.random((n, pairs)) < 0.9, 1, -1) * likely[labels]
    values[:, 1::2] *= np.sign(values[:, ::2] * values[:, 1::2]) * wanted
    return name_columns(np.sign(values) * np.expm1(2 * np.abs(values)))


def draw_missing(labels: Labels, random: Generator) -> Columns:
    """Return amounts that tell a little, and are missing by class."""
    centre = random.normal(0.0, 0.4, (N_CLASSES, 12))
    missing = random.choice([0.1, 0.3, 0.7], (N_CLASSES, 12))
    values = np.exp(2 * (centre[labels] + random.normal(size=(len(labels), 12))))
    return name_columns(np.where(random.random(values.shape) < missing[labels], np.nan, values).round(3))


def draw_mixed(labels: Labels, random: Generator) -> Columns:
    """Return counts, durations, categories and pairs that interact, side by side."""
    codes = random.integers(0, 8, (N_CLASSES, 3, 2))
    chosen = codes[labels, :, random.integers(0, 2, len(labels))]
    other = random.integers(0, 8, chosen.shape)
    categories = np.where(random.random(chosen.shape) < 0.5, chosen, other)
    parts = (draw_counts, draw_durations, draw_interactions)
    columns = {
        f"{part.__name__.removeprefix('draw_')}_{name}": values
        for part in parts
        for name, values in list(part(labels, random).items())[:4]
    }
    return columns | {f"category_{at}": np.char.add("k", categories[:, at].astype(str)) for at in range(3)}


def name_columns(values: NDArray[Any]) -> Columns:
    """Name the columns of an array (N, W) by turns: a_0, b_0, a_1, b_1, …"""
    return {f"{'ab'[at % 2]}_{at // 2}": values[:, at] for at in range(values.shape[1])}


ALONE = {"facts": "*_[0-9]"}
IN_TWO = {"a": "a_*", "b": "b_*"}
KINDS = (
    SkewedTable("counts", draw_counts, ALONE),
    SkewedTable("amounts", draw_amounts, ALONE),
    SkewedTable("durations", draw_durations, ALONE),
    SkewedTable("heavy_tails", draw_heavy_tails, ALONE),
    SkewedTable("ranges", draw_ranges, ALONE),
    SkewedTable("interactions", draw_interactions, ALONE),
    SkewedTable("missing", draw_missing, ALONE),
    SkewedTable("mixed", draw_mixed, ALONE),
    SkewedTable("amounts_in_two", draw_amounts, IN_TWO),
    SkewedTable("ranges_in_two", draw_ranges, IN_TWO),
    SkewedTable("interactions_in_two", draw_interactions, IN_TWO),
    SkewedTable("missing_in_two", draw_missing, IN_TWO),
)
TABLES = {each.name: each for each in KINDS}
