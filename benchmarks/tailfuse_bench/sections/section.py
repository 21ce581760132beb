"""The parts of a section of the report."""

from dataclasses import dataclass, field, replace
from typing import Literal

from tailfuse_bench.figures import Figure
from tailfuse_bench.tables import Table

Status = Literal["reached", "not reached", "open", "shown"]


@dataclass(frozen=True, slots=True)
class Target:
    """A target of the full benchmark and its outcome.

    `open`: the table is not sufficient to decide. `shown`: the target has no threshold. None: the table is
    too small to reach the targets of the full benchmark, so it is measured by none.
    """

    text: str
    outcome: str
    status: Status | None


@dataclass(frozen=True, slots=True)
class Section:
    """`note` explains the tables and figures."""

    title: str
    targets: list[Target]
    note: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def make_absent_section(title: str, target: str, what: str) -> Section:
    """Return a section for which the table has no results."""
    return Section(title, [Target(target, f"Not in this table: {what}.", "open")])


def remove_statuses(section: Section) -> Section:
    """Return the section without a verdict on its targets."""
    return replace(section, targets=[replace(target, status=None) for target in section.targets])


def make_status(reached: bool | None) -> Status:
    """Return the status of a target; None is one that cannot be decided yet."""
    if reached is None:
        return "open"
    return "reached" if reached else "not reached"
