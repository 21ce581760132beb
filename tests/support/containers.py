"""The Dockerfiles and Compose, as tests read them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SCALED = ROOT / "docker" / "compose.scale.yml"
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile*"))
CPU = ROOT / "docker" / "Dockerfile"
GPU = ROOT / "docker" / "Dockerfile.gpu"
TRAIN = ROOT / "docker" / "Dockerfile.train"
BUILT_HERE = {"service": CPU, "service-gpu": GPU}


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Compose itself, with nothing set but what is named."""
    plain = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return subprocess.run(
        [tool("docker-compose"), "--env-file", "/dev/null", "-f", str(COMPOSE), *arguments],
        cwd=ROOT, env={**plain, **environment}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def tool(name: str) -> str:
    """One that the extra `dev` has."""
    found = shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)
    assert found, f"{name} is not installed; the extra `dev` has it"
    return found


def instructions(dockerfile: Path, name: str) -> list[str]:
    """What follows each `name` of a Dockerfile, continued lines joined."""
    joined = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in joined.splitlines() if line.startswith(f"{name} ")]


def sources(dockerfile: Path) -> set[str]:
    """What a Dockerfile takes from the repository."""
    from_here = [each.split()[:-1] for each in instructions(dockerfile, "COPY") if "--from" not in each]
    return {source for line in from_here for source in line}


def read_services(*arguments: str) -> dict[str, Any]:
    """Return every service of every profile, as Compose understands it; nothing is set."""
    done = compose(*arguments, "--profile", "cpu", "--profile", "gpu", "config")
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]  # type: ignore[no-any-return]
