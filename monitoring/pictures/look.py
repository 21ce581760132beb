"""Grafana's dark look: colours, and numbers in their units."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from monitoring.pictures.panels import Panel

PAGE, PANEL, TEXT, FAINT, GRID = "#08090b", "#181b1f", "#ccccdc", "#8e8e9a", "#2b2e34"
COLOURS = {
    "green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2", "yellow": "#fade2a",
    "purple": "#b877d9", "white": "#ffffff", "transparent": "none",
}  # fmt: skip
PALETTE = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#37872d", "#fade2a",
    "#c4162a",
    "#8f3bb8", "#1f60c4", "#96d98d", "#ffb357", "#ff7383", "#ca95e5",
)  # fmt: skip
STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
SECONDS = ((60, " min"), (1, " s"), (1e-3, " ms"), (1e-6, " µs"))
BYTES = ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"))


class Palette:
    """A colour for each name, the same on every panel that has it."""

    def __init__(self, first: Iterable[str] = ()) -> None:
        self._colours: dict[str, str] = {}
        for name in first:
            self.of(name)

    def of(self, name: str) -> str:
        return self._colours.setdefault(name, PALETTE[len(self._colours) % len(PALETTE)])


def properties(panel: Panel, name: str) -> dict[str, Any]:
    """What the panel's overrides say of one series or column."""
    said: dict[str, Any] = {}
    for override in panel.overrides:
        matcher = override["matcher"]
        pattern = str(matcher["options"])
        by_name = matcher["id"] == "byName" and pattern == name
        flags = re.IGNORECASE if pattern.endswith("i") else 0
        if by_name or (
            matcher["id"] == "byRegexp" and re.search(pattern.strip("/").removesuffix("/i"), name, flags)
        ):
            said |= {each["id"]: each.get("value") for each in override["properties"]}
    return said


def colour_of(panel: Panel, name: str, palette: Palette) -> str:
    """The colour of one series."""
    fixed = properties(panel, name).get("color")
    return colour(fixed["fixedColor"]) if fixed else palette.of(name)


def colour(name: str) -> str:
    return COLOURS.get(name, name)


def step_colour(steps: Sequence[Mapping[str, Any]], number: float) -> str:
    """The colour of the last step that the number reaches."""
    reached = [step for step in steps if step["value"] is None or number >= step["value"]]
    return colour(reached[-1]["color"])


def written(number: float, unit: str, decimals: int | None = None) -> str:
    """A number in its unit, short enough to read at a glance."""
    if not math.isfinite(number):
        return "–"
    if unit == "percentunit":
        return f"{100 * number:.{1 if abs(number) < 0.1 else 0}f}%"
    if unit == "s" and number:
        size, name = next((each for each in SECONDS if abs(number) >= each[0]), SECONDS[-1])
        return f"{digits(number / size)}{name}"
    if unit == "bytes":
        return next(
            (f"{digits(number / size)}{name}" for size, name in BYTES if number >= size), f"{number:.0f} B"
        )
    if unit == "dateTimeAsIso":
        return datetime.fromtimestamp(number / 1000).strftime("%H:%M:%S")
    suffix = {"reqps": " req/s", "cps": " /s"}.get(unit, unit.removeprefix("suffix:") if ":" in unit else "")
    short = f"{number:.{decimals}f}" if decimals is not None else shortened(number)
    return f"{short}{suffix}"


def shortened(number: float) -> str:
    size, name = next((step for step in STEPS if abs(number) >= step[0]), (1, ""))
    return f"{digits(number / size)}{name}"


def digits(number: float) -> str:
    """Three digits that count."""
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"
