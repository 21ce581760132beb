"""Tables of the report as data, and the format of their numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tailfuse_bench.statistics import Comparison, Spread

NOTHING = "–"
Tone = Literal["", "win", "loss", "muted"]


@dataclass(frozen=True, slots=True)
class Cell:
    """`tone` selects the colour; `title` is the tooltip."""

    text: str
    bold: bool = False
    tone: Tone = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row without cells is a heading for the rows below it. `title` is the tooltip."""

    name: str
    cells: list[Cell] = field(default_factory=list)
    ours: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`folded` tables are collapsed at first; `brief` tables are also in report.md."""

    caption: str
    head: list[str]
    rows: list[Row]
    note: str = ""
    folded: bool = False
    brief: bool = False


def share_cell(value: float | None) -> Cell:
    """Format a share in per cent: `63.1`."""
    return Cell(NOTHING if value is None else with_minus_sign(f"{100 * value:.1f}"))


def spread_cell(value: Spread | None, bold: bool = False) -> Cell:
    """Format mean ± standard deviation over seeds in per cent: `63.1 ± 0.8`."""
    if value is None:
        return Cell(NOTHING, tone="muted")
    half_interval = "" if value.sd is None else f" ± {100 * value.sd:.1f}"
    return Cell(f"{100 * value.mean:.1f}{half_interval}", bold, title=format_seeds(value.n))


def difference_cell(value: Comparison | None) -> Cell:
    """Format percent points ± half of the 95 % interval, with a star if significant: `+2.3 ± 0.8*`."""
    if value is None:
        return Cell(NOTHING, tone="muted")
    half_interval = "" if value.half_interval is None else f" ± {100 * value.half_interval:.1f}"
    star = "" if value.verdict == "tie" else "*"
    p, corrected = format_probability(value.p), format_probability(value.holm)
    title = f"{format_seeds(value.n)}; p {p}, corrected {corrected}"
    tone: Tone = "" if value.verdict == "tie" else value.verdict
    return Cell(f"{format_points(value.mean)}{half_interval}{star}", tone=tone, title=title)


def format_points(value: float) -> str:
    """Format a difference of shares in percent points with its sign: `+2.3`."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else with_minus_sign(text)


def points_cell(value: float | None) -> Cell:
    """Format a signed difference in percent points."""
    return Cell(NOTHING, tone="muted") if value is None else Cell(format_points(value))


def decimal_cell(value: float | None, digits: int = 3) -> Cell:
    """Format a value with a number of digits."""
    return Cell(NOTHING, tone="muted") if value is None else Cell(with_minus_sign(f"{value:.{digits}f}"))


def format_probability(p: float | None) -> str:
    """Format a p-value: `0.031`, `< 0.001`, or `none` without a test."""
    if p is None:
        return "none"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_seeds(n: int) -> str:
    """Format a number of seeds."""
    return f"{n} {'seed' if n == 1 else 'seeds'}"


def with_minus_sign(text: str) -> str:
    """Replace hyphens with minus signs."""
    return text.replace("-", "−")


def join_names(names: Sequence[str], max_names: int = 6) -> str:
    """Join names: `a, b and c`; beyond `max_names`, say how many more there are."""
    shown = list(names[:max_names])
    if len(names) > max_names:
        return f"{', '.join(shown)} and {len(names) - max_names} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"


def format_record(found: Iterable[Comparison | None]) -> str:
    """Count wins, ties and losses: `6/2/0`."""
    counts = Counter(test.verdict for test in found if test)
    return f"{counts['win']}/{counts['tie']}/{counts['loss']}"
