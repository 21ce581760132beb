"""Expand a dashboard as Grafana does: repeat rows, replace variables."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Values = Mapping[str, str | Sequence[str]]  # of variables; several values become a regular expression
Panel = dict[str, Any]  # as in Grafana's JSON


def expand_panels(
    dashboard: Mapping[str, Any], values: Values, titles: Collection[str] | None = None
) -> list[Panel]:
    """Return the panels of the rows with these titles (default: all), without gaps between rows."""
    panels: list[Panel] = []
    bottom = 0
    for row in split_rows(dashboard["panels"]):
        variable = row[0].get("repeat")
        choices = values[variable] if variable else [""]
        for choice in [choices] if isinstance(choices, str) else choices:
            expanded = replace_variables(row, {**values, variable: choice} if variable else values)
            if titles is None or expanded[0]["title"] in titles:
                shift = bottom - expanded[0]["gridPos"]["y"]
                for panel in expanded:
                    panel["gridPos"]["y"] += shift
                bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in expanded)
                panels += expanded
    return panels


def split_rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Split panels into rows; the title of a row is its head."""
    rows: list[list[Panel]] = []
    for panel in panels:
        if panel["type"] == "row":
            rows.append([])
        rows[-1].append(panel)
    return rows


def replace_variables(value: Any, values: Values) -> Any:
    """Return a copy of a JSON value with each known `$variable` replaced."""
    if isinstance(value, dict):
        return {key: replace_variables(each, values) for key, each in value.items()}
    if isinstance(value, list):
        return [replace_variables(each, values) for each in value]
    if not isinstance(value, str):
        return value

    def find_value(match: re.Match[str]) -> str:
        found = values.get(match[1], match[0])
        return found if isinstance(found, str) else "|".join(each.replace(".", "\\\\.") for each in found)

    return re.sub(r"\$(\w+)", find_value, value)
