"""What Prometheus answered, as the series and rows of a panel."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.pictures.panels import Panel, Query

Answer = Sequence[Mapping[str, Any]]  # of Prometheus' API: metric, and value or values
Row = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Series:
    """Values over time (Unix seconds); NaN where there is none."""

    name: str
    labels: Mapping[str, str]
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def last(self) -> float:
        """The last value; NaN if there is none."""
        there = self.values[np.isfinite(self.values)]
        return float(there[-1]) if len(there) else math.nan

    @property
    def most(self) -> float:
        """The greatest value; NaN if there is none."""
        there = self.values[np.isfinite(self.values)]
        return float(there.max()) if len(there) else math.nan


def series_of(query: Query, answer: Answer, times: NDArray[np.float64]) -> list[Series]:
    """The answer to one query at these times; series without any number are left out."""
    found = []
    for each in answer:
        told = {float(time): float(value) for time, value in each.get("values") or [each["value"]]}
        on = [times[-1]] if "value" in each else times
        values = np.array(
            [told.get(time, next(iter(told.values())) if len(on) == 1 else math.nan) for time in on]
        )
        if np.isfinite(values).any():
            found.append(Series(named(query.legend, each["metric"]), each["metric"], np.array(on), values))
    return found


def named(legend: str, labels: Mapping[str, str]) -> str:
    """The legend's text for these labels."""
    if legend == "__auto":
        return next(iter(labels.values()), "")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)


def rows_of(panel: Panel, answers: Sequence[Answer]) -> list[Row]:
    """A table's rows: those of several queries that agree in their common labels become one."""
    rows: list[Row] = []
    for query, answer in zip(panel.queries, answers, strict=True):
        column = f"Value #{query.ref}" if len(panel.queries) > 1 else "Value"
        for each in answer:
            labels, number = dict(each["metric"]), float(each["value"][1])
            for row in [row for row in rows if agree(row, labels)] or [new_row(rows, labels)]:
                row[column] = number
    return rows


def agree(row: Row, labels: Mapping[str, str]) -> bool:
    return all(row[name] == value for name, value in labels.items() if name in row)


def new_row(rows: list[Row], labels: Mapping[str, str]) -> Row:
    rows.append({**labels})
    return rows[-1]
