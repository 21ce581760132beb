"""Programs other than Python that some tests run, and what is left out where they are missing."""

import os
import shutil
from collections.abc import Iterable

import pytest

PACKAGES = {  # the Debian package of each program
    "amtool": "prometheus-alertmanager",
    "curl": "curl",
    "git": "git",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
}
REASON = "not installed: "


def locate(program: str) -> str:
    """Return the path of an installed program; fail if there is none."""
    found = shutil.which(program)
    assert found, f"{program} is not installed: apt-get install {PACKAGES[program]}"
    return found


def missing_programs(item: pytest.Item) -> list[str]:
    """Return the programs that a test's `needs` markers name and that are not installed."""
    wanted = {str(program) for marker in item.iter_markers("needs") for program in marker.args}
    return sorted(program for program in wanted if shutil.which(program) is None)


def leave_out(items: Iterable[pytest.Item]) -> None:
    """Skip the tests whose programs are missing. In CI nothing is left out: those tests fail."""
    if os.environ.get("CI") == "true":
        return
    for item in items:
        if missing := missing_programs(item):
            item.add_marker(pytest.mark.skip(reason=f"{REASON}{', '.join(missing)}"))


def summarise(reasons: Iterable[str]) -> str | None:
    """Return the line that says what was left out for want of programs; None if nothing was."""
    lists = [reason.partition(REASON)[2] for reason in reasons if REASON in reason]
    if not lists:
        return None
    programs = sorted({program for each in lists for program in each.split(", ")})
    packages = sorted({PACKAGES[program] for program in programs})
    return (
        f"Left out for want of {', '.join(programs)}: {len(lists)} test{'s' if len(lists) > 1 else ''}. "
        f"As root on Debian, `make test-system` installs {', '.join(packages)} and runs all tests."
    )
