"""Small line charts as data; the template draws them as inline SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tailfuse.evaluation.report import ticks

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 300, 190, 38, 22, 8
COLOURS = 8  # the style has --c0 to --c7
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as `x,y x,y …`; its dots are (x, y, what is shown when pointed at)."""

    points: str
    colour: int
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Ticks are (position, label); `guide` is a dashed line (x1, y1, x2, y2); `key` is as in a figure."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    guide: tuple[float, float, float, float] | None
    key: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Figure:
    """Charts with one caption, and what their colours mean if it is the same in all: (name, colour)."""

    caption: str
    charts: list[Chart]
    key: list[tuple[str, int]] = field(default_factory=list)


def key_of(names: Sequence[str]) -> dict[str, int]:
    """A colour for each name."""
    return {name: at % COLOURS for at, name in enumerate(names)}


def chart(
    title: str,
    curves: Mapping[str, Points],
    colours: Mapping[str, int],
    *,
    x_labels: Sequence[str] | None = None,
    y_range: tuple[float, float] | None = None,
    level: float | None = None,
    diagonal: bool = False,
    keyed: bool = False,
) -> Chart:
    """One chart of at least one point.

    With `x_labels`, x is a position among them, 0 and up; without, x goes from 0 to 1. Without `y_range` the
    values make it. `level` and `diagonal` draw a guide. With `keyed` the chart has a key of its own.
    """
    ys = [y for points in curves.values() for _, y in points]
    y_at = ticks(*(y_range or (min(ys), max(ys))), about=5)
    x_at = [(float(at), label) for at, label in enumerate(x_labels)] if x_labels else unit_ticks()
    x_most = max(x_at[-1][0], 1.0)

    def across(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 12) * x / x_most, 1)

    def down(y: float) -> float:
        return round(TOP + (HEIGHT - BOTTOM - TOP) * (y_at[-1] - y) / (y_at[-1] - y_at[0]), 1)

    def line(name: str, points: Points) -> Line:
        path = " ".join(f"{across(x)},{down(y)}" for x, y in points)
        dots = [(across(x), down(y), f"{name}: {y:.3g}") for x, y in points]
        return Line(path, colours[name], dots)

    guide = (across(0), down(0), across(x_most), down(1)) if diagonal else None
    if level is not None:
        guide = (across(0), down(level), across(x_most), down(level))
    return Chart(
        title,
        [line(name, points) for name, points in curves.items() if points],
        [(across(x), label) for x, label in x_at],
        [(down(y), f"{y:g}") for y in y_at],
        guide,
        list(colours.items()) if keyed else [],
    )


def unit_ticks() -> list[tuple[float, str]]:
    """Ticks of an axis from 0 to 1."""
    return [(at, f"{at:g}") for at in (0.0, 0.25, 0.5, 0.75, 1.0)]
