"""Run a rival on the problem in a folder: `python -m runner FOLDER`, or list the rivals that can be run.

It ends when its standard input is closed: the process that started it has ended.
"""

import json
import os
import sys
import threading
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .model import Model
from .problem import Costs, Problem, Question, read_problem, write_answers

BATCH, REPEATS = 64, 20  # as the bench times its own methods


class Rival(NamedTuple):
    """The package that a rival needs, and the function that fits it: of a module here."""

    package: str
    module: str
    function: str = "fit"


RIVALS = {
    "AutoGluon": Rival("autogluon.tabular", "auto_gluon"),
    "CatBoost": Rival("catboost", "cat_boost"),
    "LightGBM": Rival("lightgbm", "light_gbm"),
    "TabM": Rival("tabm", "tab_m"),
    "TF-IDF logistic regression": Rival("scikit-learn", "logistic"),
    "TF-IDF late logistic regression": Rival("scikit-learn", "logistic", "fit_late"),
}


def list_versions() -> dict[str, str | None]:
    """Return the version of each rival's package; None if it is not installed."""
    found: dict[str, str | None] = {}
    for name, rival in RIVALS.items():
        try:
            found[name] = version(rival.package)
        except PackageNotFoundError:
            found[name] = None
    return found


def run_problem(folder: Path) -> None:
    """Fit the problem's rival, answer its questions, and write answers and costs."""
    problem = read_problem(folder)
    rival = RIVALS[problem.rival]
    os.chdir(folder)  # some libraries write into the working directory
    begun, begun_wall = time.process_time(), time.monotonic()
    model: Model = getattr(import_module(f".{rival.module}", __package__), rival.function)(problem)
    seconds, wall_seconds = time.process_time() - begun, time.monotonic() - begun_wall
    answers = [
        model.predict(problem.test.take(each.rows).only(each.modalities)) for each in problem.questions
    ]
    microseconds, size = measure_time(model, problem), measure_size(model, folder)
    costs = Costs(wall_seconds, seconds, microseconds, size, model.parameters)
    write_answers(folder, answers, costs)


def measure_time(model: Model, problem: Problem) -> float:
    """Measure the CPU time of one answer, in microseconds: the median of batches of the first question."""
    first: Question = problem.questions[0]
    rows = problem.test.take(first.rows[:BATCH]).only(first.modalities)
    if not len(rows):
        return float("nan")
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        model.predict(rows)
        seconds.append(time.process_time() - begun)
    return 1e6 * median(seconds) / len(rows)


def measure_size(model: Model, folder: Path) -> int:
    """Return the bytes of the files that answering takes."""
    saved = folder / "saved"
    saved.mkdir()
    model.save(saved)
    return sum(file.stat().st_size for file in saved.rglob("*") if file.is_file())


def exit_with_parent() -> None:
    """Wait until standard input is closed, then end this process at once."""
    while os.read(0, 1):  # sys.stdin would hold a lock when the interpreter ends
        pass
    os._exit(1)


if __name__ == "__main__":
    if sys.argv[1:] == ["versions"]:
        print(json.dumps(list_versions()))
    else:
        threading.Thread(target=exit_with_parent, daemon=True).start()
        run_problem(Path(sys.argv[1]).resolve())
