"""Programs other than Python that some tests run, and what is left out where they are missing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

PACKAGES = {  # the Debian package of each program, or the extra of pyproject.toml that brings it
    "amtool": "prometheus-alertmanager",
    "azurite-blob": "azurite",
    "caddy": "caddy",
    "chromium": "chromium",
    "curl": "curl",
    "docker-registry": "docker-registry",
    "flask": "flask",
    "gcp-storage-emulator": "gcp-storage-emulator",
    "git": "git",
    "helm": "helm",
    "hf": "huggingface_hub",
    "kubernetes-validate": "kubernetes-validate",
    "mlflow": "mlflow",
    "moto_server": "moto",
    "node": "nodejs",
    "npm": "npm",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "ray": "ray",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
}
REASON = "not installed: "
NODE = ("node", "npm")
MIN_NODE = (20, 3)  # what client-js/package.json says; older distributions have an older one


def locate(program: str) -> str:
    """Return the path of an installed program; fail if there is none."""
    found = find(program)
    assert found, f"{program} is not installed: apt-get install {PACKAGES[program]}"
    return found


@cache
def find(program: str) -> str | None:
    """Return the path of a program: the system's, or that of this environment. A Node that is old is none."""
    own = Path(sys.executable).parent
    found = (shutil.which(program, path=path) for path in (None, own))
    recent = (each for each in found if each and (program not in NODE or is_recent(Path(each).parent)))
    return next(recent, None)


def is_recent(folder: Path) -> bool:
    """Return whether the Node in a folder is one that the JavaScript client supports."""
    node = folder / "node"
    if not node.exists():
        return False
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", told)[:2])) >= MIN_NODE


def missing_programs(item: pytest.Item) -> list[str]:
    """Return the programs that a test's `needs` markers name and that are not installed."""
    wanted = {str(program) for marker in item.iter_markers("needs") for program in marker.args}
    return sorted(program for program in wanted if find(program) is None)


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
