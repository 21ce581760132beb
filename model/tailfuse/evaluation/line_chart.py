"""Curves of the report as positions in an SVG: the training by epoch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

History = Sequence[Mapping[str, float | str]]  # one entry per epoch, as in the training log
Points = list[tuple[float, float]]

WIDTH, HEIGHT, LEFT, BOTTOM = 480, 220, 46, 24


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as `x,y x,y …`, with its last value."""

    name: str
    points: str
    last: str


@dataclass(frozen=True, slots=True)
class LineChart:
    """Curves over one axis; ticks are (position, label). `marker` is the position of a vertical line."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    marker: float | None = None


def line_charts(history: History) -> list[LineChart]:
    """Loss and validation balanced accuracy over epochs, which count from 1."""
    charts = (
        ("Loss", {"training": "loss", "validation": "val_loss"}),
        ("Balanced accuracy", {"validation": "val_balanced_accuracy"}),
    )
    kept = find_kept_epoch(history)
    made = (
        line_chart(title, {name: curve(history, key) for name, key in keys.items()}, marker=kept)
        for title, keys in charts
    )
    return [chart for chart in made if chart.lines]


def find_kept_epoch(history: History) -> int | None:
    """Find the epoch whose weights were kept, counted from 1.

    It is that of the smallest validation loss, the last of equals; None without a validation loss.
    """
    losses = curve(history, "val_loss")
    return int(min(reversed(losses), key=lambda point: point[1])[0]) if losses else None


def line_chart(
    title: str,
    curves: Mapping[str, Points],
    marker: float | None = None,
    y_bounds: tuple[float, float] | None = None,
) -> LineChart:
    """Return a chart of curves by name, over `y_bounds` or the range of their values, without empty ones."""
    curves = {name: points for name, points in curves.items() if points}
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]
    if not xs:
        return LineChart(title, [], [], [])
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(*(y_bounds or (min(ys), max(ys))))
    x_low, x_high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 8) * (x - x_low) / (x_high - x_low), 1)

    def down(y: float) -> float:
        return round((HEIGHT - BOTTOM) - (HEIGHT - BOTTOM - 10) * (y - y_low) / (y_high - y_low), 1)

    lines = [
        Line(name, " ".join(f"{across(x)},{down(y)}" for x, y in points), f"{points[-1][1]:.3f}")
        for name, points in curves.items()
    ]
    return LineChart(
        title,
        lines,
        [(across(x), f"{x:g}") for x in x_ticks if x_low <= x <= x_high],
        [(down(y), f"{y:g}") for y in y_ticks],
        None if marker is None else across(marker),
    )


def curve(history: History, key: str) -> Points:
    """(epoch, value) of the entries that have a finite value; epochs count from 1, in the log from 0."""
    points = [
        (1 + float(entry["epoch"]), float(entry[key]))
        for entry in history
        if entry.get(key) not in (None, "")
    ]
    return [(x, y) for x, y in points if math.isfinite(y)]


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers that cover low..high, at least two."""
    span = high - low or abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / about))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude * about >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * at, 10) for at in range(first, max(last, first + 1) + 1)]
