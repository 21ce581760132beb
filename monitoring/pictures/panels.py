"""A dashboard's file as panels whose queries Prometheus can answer: rows repeated, variables replaced."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, str | Sequence[str]]  # of variables: one, or all of those chosen


@dataclass(frozen=True, slots=True)
class Query:
    """A target of a panel. `instant` ones are asked at the end only."""

    ref: str
    expr: str
    legend: str
    instant: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel, or the head of a row (kind `row`), at its place on Grafana's grid of 24 columns."""

    kind: str
    title: str
    queries: tuple[Query, ...]
    at: tuple[int, int, int, int]  # x, y, width, height
    defaults: Mapping[str, Any]
    overrides: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    transformations: Sequence[Mapping[str, Any]]


def panels_of(dashboard: Mapping[str, Any], values: Values) -> Iterator[Panel]:
    """All panels as Grafana would show them with these values."""
    shift = 0
    for row in rows_of(dashboard):
        variable = row[0].get("repeat")
        each = values[variable] if variable else [""]
        height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in row) - row[0]["gridPos"]["y"]
        for place, one in enumerate([each] if isinstance(each, str) else each):
            chosen = {**values, variable: one} if variable else values
            shift += height if place else 0
            for panel in row:
                yield panel_of(panel, chosen, shift)


def rows_of(dashboard: Mapping[str, Any]) -> list[list[Mapping[str, Any]]]:
    """Each row's head and its panels."""
    rows: list[list[Mapping[str, Any]]] = []
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            rows.append([])
        rows[-1].append(panel)
    return rows


def panel_of(panel: Mapping[str, Any], values: Values, shift: int = 0) -> Panel:
    grid, config = panel["gridPos"], panel.get("fieldConfig", {})
    return Panel(
        kind=panel["type"],
        title=replaced(panel["title"], values),
        queries=tuple(
            Query(
                target["refId"], replaced(target["expr"], values),
                replaced(target.get("legendFormat", ""), values), target.get("instant", False),
            )
            for target in panel.get("targets", [])
        ),
        at=(grid["x"], grid["y"] + shift, grid["w"], grid["h"]),
        defaults=config.get("defaults", {}),
        overrides=config.get("overrides", []),
        options=panel.get("options", {}),
        transformations=panel.get("transformations", []),
    )  # fmt: skip


def replaced(text: str, values: Values) -> str:
    """The text with each `$variable` replaced, several values as a regular expression."""

    def value_of(match: re.Match[str]) -> str:
        value = values.get(match[1])
        if value is None or isinstance(value, str):
            return match[0] if value is None else value
        return "|".join(each.replace(".", "\\\\.") for each in value)

    return re.sub(r"\$(\w+)", value_of, text)
