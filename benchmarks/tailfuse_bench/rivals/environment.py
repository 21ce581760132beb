"""The rivals' environment: its Python, what is installed in it, and one rival run in it on one problem."""

import json
import logging
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tailfuse.errors import RunError, UserError

from tailfuse_bench.rivals.runner.problem import COSTS, Costs, Floats, Problem, read_answers, write_problem

log = logging.getLogger("tailfuse")

FOLDER = Path(__file__).parent
REQUIREMENTS = FOLDER / "requirements.txt"
TARGET = "make .venv-rivals/rivals"
ALLOWANCE, MIN_SECONDS = 3, 300  # a run is killed after ALLOWANCE times its limit and MIN_SECONDS


@dataclass(frozen=True, slots=True)
class Environment:
    """The Python of the environment, and the time limit of a rival's training."""

    python: Path
    seconds: int


def find_environment(folder: Path, seconds: int) -> Environment:
    """Return the environment in a folder. Raises UserError."""
    python = folder / "bin" / "python"
    if not python.is_file():
        raise UserError(f"--rivals: {python}: no such file; make the environment with `{TARGET}`")
    return Environment(python.absolute(), seconds)


def list_versions(environment: Environment) -> dict[str, str | None]:
    """Return the version of each rival's package; None if it is not installed. Raises UserError."""
    done = subprocess.run(
        make_command(environment, "versions"), env=make_variables(), capture_output=True, text=True
    )
    try:
        versions: dict[str, str | None] = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines() or ["it prints nothing"]
        raise UserError(f"--rivals: {environment.python} cannot run the rivals: {lines[-1]}") from None
    return versions


def run_rival(environment: Environment, problem: Problem) -> tuple[list[Floats], Costs]:
    """Run a rival on a problem in a new folder. Raises RunError if it fails or exceeds its time."""
    with tempfile.TemporaryDirectory(prefix="tailfuse-rival-") as name:
        folder = Path(name)
        write_problem(folder, problem)
        output = folder / "output.txt"
        limit = ALLOWANCE * environment.seconds + MIN_SECONDS
        with output.open("wb") as file:
            # The pipe is closed when this process ends, and the rival then ends too.
            process = subprocess.Popen(
                make_command(environment, str(folder)), env=make_variables(),
                stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
            with process:
                try:
                    status = process.wait(limit)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise RunError(f"{problem.rival} was stopped after {limit} seconds") from None
        if status:
            lines = output.read_text(errors="replace").strip().splitlines() or [f"exit status {status}"]
            raise RunError(f"{problem.rival} failed with exit status {status}: {lines[-1]}")
        if not (folder / COSTS).is_file():
            raise RunError(f"{problem.rival} ended without an answer")
        answers, costs = read_answers(folder)
    if costs.wall_seconds >= environment.seconds:
        log.warning("%s: training took all of its %d seconds", problem.rival, environment.seconds)
    return answers, costs


def make_command(environment: Environment, argument: str) -> list[str]:
    """Return the command that runs the runner with an argument."""
    return [str(environment.python), "-m", "runner", argument]


def make_variables() -> dict[str, str]:
    """Return the variables of the runner's process: one thread, and of this package only the runner."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return kept | {"PYTHONPATH": str(FOLDER), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
