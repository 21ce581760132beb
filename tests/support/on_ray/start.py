"""The command and the variables of a program that starts Ray."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.process import environment

ROOT = Path(__file__).parents[3]
FAST_IMPORTS = Path(__file__).parent / "fast_imports"


def make_command(module: str, arguments: Sequence[str]) -> list[str]:
    """Return the command of a Python program.

    Ray gives its own processes 15 seconds to start, which no setting changes. On a busy machine they are fast
    enough before other processes.
    """
    first = ["nice", "-n", "-15"] if os.geteuid() == 0 else []
    return [*first, sys.executable, "-m", module, *arguments]


def make_variables(**more: str) -> dict[str, str]:
    """Return the variables of the program; it imports what this process does."""
    path = [str(FAST_IMPORTS), str(ROOT), *sys.path]
    return environment(
        PYTHONPATH=":".join(path), RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled", **more,
    )  # fmt: skip
