"""Tables of the report as data, and how numbers are written in them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tailfuse_bench.statistics import Comparison, Spread

NOTHING = "–"
Tone = Literal["", "win", "loss", "muted"]


@dataclass(frozen=True, slots=True)
class Cell:
    """`tone` colours it; `title` is shown when it is pointed at."""

    text: str
    bold: bool = False
    tone: Tone = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row without cells is a heading over those below it. `title` is shown when it is pointed at."""

    name: str
    cells: list[Cell] = field(default_factory=list)
    ours: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`folded` ones are closed until asked for; `brief` ones are in report.md too."""

    caption: str
    head: list[str]
    rows: list[Row]
    note: str = ""
    folded: bool = False
    brief: bool = False


def share(value: float | None) -> Cell:
    """A share as per cent: `63.1`"""
    return Cell(NOTHING if value is None else signed(f"{100 * value:.1f}"))


def spread_cell(value: Spread | None, bold: bool = False) -> Cell:
    """Mean ± standard deviation over seeds, per cent: `63.1 ± 0.8`"""
    if value is None:
        return Cell(NOTHING, tone="muted")
    reach = "" if value.sd is None else f" ± {100 * value.sd:.1f}"
    return Cell(f"{100 * value.mean:.1f}{reach}", bold, title=seeds(value.n))


def difference_cell(value: Comparison | None) -> Cell:
    """Percent points ± half of the 95 % interval, with a star if significant: `+2.3 ± 0.8*`"""
    if value is None:
        return Cell(NOTHING, tone="muted")
    reach = "" if value.reach is None else f" ± {100 * value.reach:.1f}"
    star = "" if value.verdict == "tie" else "*"
    title = f"{seeds(value.n)}; p {probability(value.p)}, corrected {probability(value.holm)}"
    tone: Tone = "" if value.verdict == "tie" else value.verdict
    return Cell(f"{points(value.mean)}{reach}{star}", tone=tone, title=title)


def points(value: float) -> str:
    """A difference of shares in percent points, with its sign: `+2.3`"""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else signed(text)


def points_cell(value: float | None) -> Cell:
    return Cell(NOTHING, tone="muted") if value is None else Cell(points(value))


def decimal_cell(value: float | None, digits: int = 3) -> Cell:
    return Cell(NOTHING, tone="muted") if value is None else Cell(signed(f"{value:.{digits}f}"))


def probability(p: float | None) -> str:
    """`0.031`, `< 0.001`, or `none` where there is no test."""
    if p is None:
        return "none"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def seeds(n: int) -> str:
    return f"{n} {'seed' if n == 1 else 'seeds'}"


def signed(text: str) -> str:
    """A true minus sign, as wide as a plus."""
    return text.replace("-", "−")


def listed(names: Sequence[str], most: int = 6) -> str:
    """`a, b and c`; beyond `most`, how many more there are."""
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"


def record(found: Iterable[Comparison | None]) -> str:
    """Won/tied/lost: `6/2/0`"""
    counts = Counter(test.verdict for test in found if test)
    return f"{counts['win']}/{counts['tie']}/{counts['loss']}"
