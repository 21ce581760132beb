"""Small line charts as data; the template renders them as inline SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tailfuse.evaluation.line_chart import ticks

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 300, 190, 38, 22, 8
COLOURS = 8  # the style has --c0 to --c7
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """A curve as `x,y x,y …`; its dots are (x, y, tooltip)."""

    points: str
    colour: int
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Ticks are (position, label); `guide` is a dashed line (x1, y1, x2, y2); `key` is the legend."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    guide: tuple[float, float, float, float] | None
    key: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Figure:
    """Charts with one caption; `key` is the legend (name, colour) if all charts share it."""

    caption: str
    charts: list[Chart]
    key: list[tuple[str, int]] = field(default_factory=list)


def assign_colours(names: Sequence[str]) -> dict[str, int]:
    """Assign a colour to each name."""
    return {name: at % COLOURS for at, name in enumerate(names)}


def make_chart(
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
    """Return a chart of at least one point.

    With `x_labels`, x is an index into them; without, x is from 0 to 1. `y_range` defaults to that of the
    values. `level` and `diagonal` add a guide. With `keyed` the chart has its own legend.
    """
    ys = [y for points in curves.values() for _, y in points]
    y_at = ticks(*(y_range or (min(ys), max(ys))), about=5)
    x_at = [(float(at), label) for at, label in enumerate(x_labels)] if x_labels else make_unit_ticks()
    x_max = max(x_at[-1][0], 1.0)

    def scale_x(x: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 12) * x / x_max, 1)

    def scale_y(y: float) -> float:
        return round(TOP + (HEIGHT - BOTTOM - TOP) * (y_at[-1] - y) / (y_at[-1] - y_at[0]), 1)

    def make_line(name: str, points: Points) -> Line:
        path = " ".join(f"{scale_x(x)},{scale_y(y)}" for x, y in points)
        dots = [(scale_x(x), scale_y(y), f"{name}: {y:.3g}") for x, y in points]
        return Line(path, colours[name], dots)

    guide = (scale_x(0), scale_y(0), scale_x(x_max), scale_y(1)) if diagonal else None
    if level is not None:
        guide = (scale_x(0), scale_y(level), scale_x(x_max), scale_y(level))
    return Chart(
        title,
        [make_line(name, points) for name, points in curves.items() if points],
        [(scale_x(x), label) for x, label in x_at],
        [(scale_y(y), f"{y:g}") for y in y_at],
        guide,
        list(colours.items()) if keyed else [],
    )


def make_unit_ticks() -> list[tuple[float, str]]:
    """Return the ticks of an axis from 0 to 1."""
    return [(at, f"{at:g}") for at in (0.0, 0.25, 0.5, 0.75, 1.0)]
