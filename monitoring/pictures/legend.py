"""What is written below lines."""

from collections.abc import Sequence

from monitoring.pictures.answers import Series
from monitoring.pictures.look import FAINT, TEXT, Palette, colour_of, properties, written
from monitoring.pictures.panels import Panel

Item = tuple[float, str, str, str]  # left, colour, text, alignment


def legend_of(panel: Panel, series: Sequence[Series], width: float, palette: Palette) -> list[list[Item]]:
    """A line for each of a few series, with their last and greatest value; names alone of many."""
    edges = {each.name for each in series if properties(panel, each.name).get("custom.lineWidth") == 0}
    series = [each for each in series if each.name not in edges]  # those of a band have no line
    inks = [colour_of(panel, each.name, palette) for each in series]
    unit, decimals = panel.defaults["unit"], panel.defaults.get("decimals")
    if len(series) <= 4:
        head: list[Item] = [(width - 78, FAINT, "last", "right"), (width, FAINT, "max", "right")]
        return [head] + [
            [
                (0, ink, "●", "left"), (14, TEXT, each.name, "left"),
                (width - 78, TEXT, written(each.last, unit, decimals), "right"),
                (width, TEXT, written(each.most, unit, decimals), "right"),
            ]
            for each, ink in zip(series, inks, strict=True)
        ]  # fmt: skip
    lines: list[list[Item]] = [[]]
    at = 0.0
    for each, ink in zip(series, inks, strict=True):
        needed = 30 + 6.3 * len(each.name)
        if at + needed > width:
            lines.append([])
            at = 0.0
        lines[-1] += [(at, ink, "●", "left"), (at + 14, TEXT, each.name, "left")]
        at += needed
    return lines
