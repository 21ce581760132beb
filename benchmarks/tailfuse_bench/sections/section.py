"""What a section of the report is made of."""

from dataclasses import dataclass, field
from typing import Literal

from tailfuse_bench.figures import Figure
from tailfuse_bench.tables import Table

Status = Literal["reached", "not reached", "open", "shown"]


@dataclass(frozen=True, slots=True)
class Aim:
    """What was aimed at, and what came out.

    `open`: the table has not enough to tell. `shown`: there was no threshold to reach.
    """

    text: str
    outcome: str
    status: Status


@dataclass(frozen=True, slots=True)
class Section:
    """`note` says how to read the tables and figures."""

    title: str
    aims: list[Aim]
    note: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def absent(title: str, aim: str, what: str) -> Section:
    """The section of which the table has nothing."""
    return Section(title, [Aim(aim, f"Not in this table: {what}.", "open")])


def judged(reached: bool | None) -> Status:
    if reached is None:
        return "open"
    return "reached" if reached else "not reached"
