"""Compare tailfuse with LightGBM on generated tables: python -m tailfuse_bench.skewed.compare --out FOLDER

Test rows are equally many of each class. Balanced accuracy and NLL are of these rows. Macro-F1 depends on how
frequent the classes are: it is of the rows weighted to their training shares, under each class prior. The
answers of both methods are for equally frequent classes, and become those of a prior by the same factors.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.evaluation.metrics import subset_metrics
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.evaluation.prior import reweighted
from tailfuse.evaluation.prior_metrics import compute_natural_weights
from tailfuse.spec.schema import Spec
from tailfuse_service.bundle import PRIORS, compute_shares, write_atomically

from tailfuse_bench.datasets import table_path
from tailfuse_bench.methods import OURS
from tailfuse_bench.records import Result
from tailfuse_bench.rivals.environment import Environment, find_environment, run_rival
from tailfuse_bench.rivals.evaluate import RivalRows, make_problem
from tailfuse_bench.skewed.tables import RATIOS, TABLES, make_table

LIGHT_GBM = "LightGBM"
RESULTS, REPORT = "skewed.csv", "skewed.md"
NO_TEXTS: dict[str, dict[str, list[str | None]]] = {part: {} for part in ("train", "val", "test")}


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one table. Shares are of 1, `seconds` are of the processor, for training."""

    table: str
    ratio: int
    seed: int
    method: str
    balanced_accuracy: float
    nll: float
    f1_uniform: float
    f1_tempered: float
    f1_training: float
    seconds: float


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Output folder.")
@click.option(
    "--rivals", type=click.Path(path_type=Path), default=".venv-rivals", help="Environment of the rivals."
)
@click.option("--table", "names", multiple=True, type=click.Choice(list(TABLES)), help="Table.  [all]")
@click.option("--ratio", "ratios", multiple=True, type=int, default=RATIOS, help="Imbalance ratio.")
@click.option("--seeds", type=click.IntRange(1), default=1, help="Number of seeds.")
@click.option("--seconds", type=click.IntRange(1), default=300, help="Time limit of LightGBM.")
def command(
    out: Path, rivals: Path, names: tuple[str, ...], ratios: tuple[int, ...], seeds: int, seconds: int
) -> None:
    """Train both methods on every table and write skewed.csv and skewed.md. What is in skewed.csv is kept."""
    environment = find_environment(rivals, seconds)
    scores = read_scores(out / RESULTS)
    done = {(each.table, each.ratio, each.seed) for each in scores}
    for seed in range(seeds):
        for ratio in ratios:
            for name in names or TABLES:
                if (name, ratio, seed) in done:
                    continue
                for score in compare_methods(name, ratio, seed, out, environment):
                    click.echo(" ".join(map(str, asdict(score).values())))
                    scores.append(score)
                write_scores(out, scores)


def compare_methods(name: str, ratio: int, seed: int, out: Path, environment: Environment) -> Iterator[Score]:
    """Yield the scores of both methods on a table."""
    spec = write_table(name, ratio, seed, out)
    dataset = load_dataset(spec)
    template = Result(name, ratio, seed, LIGHT_GBM)
    problem = make_problem(RivalRows(dataset, NO_TEXTS, ()), template, environment.seconds, missing=0)
    answers, costs = run_rival(environment, problem)
    yield score_answers(template, answers[0], dataset, costs.train_seconds)
    answered, seconds = train_ours(spec, dataset)
    yield score_answers(template._replace(method=OURS), answered, dataset, seconds)


def write_table(name: str, ratio: int, seed: int, out: Path) -> Spec:
    """Write a table, and return its spec."""
    path = table_path(out / f"{name}-{ratio}-{seed}")
    path.parent.mkdir(parents=True, exist_ok=True)
    make_table(TABLES[name], ratio, seed).write_parquet(path)
    modalities = {
        modality: {"kind": "tabular", "columns": columns}
        for modality, columns in TABLES[name].modalities.items()
    }
    document = {"name": name, "table": path, "label": "label", "split": "split", "seed": seed}
    return Spec.model_validate(document | {"modalities": modalities})


def train_ours(spec: Spec, dataset: Dataset) -> tuple[NDArray[np.floating], float]:
    """Train as `tailfuse train` does; return the answers to test rows, and the CPU time."""
    from tailfuse_bench.training import train_networks

    begun = time.process_time()
    ((_, trained),) = train_networks({OURS: spec}, dataset)
    seconds = time.process_time() - begun
    return predict_part(trained.run, trained.prepare(dataset.test)).probabilities, seconds


def score_answers(template: Result, answers: NDArray[np.floating], dataset: Dataset, seconds: float) -> Score:
    """Score probabilities (N, C) for equally frequent classes, under every prior."""
    labels, classes = dataset.test.labels, dataset.classes
    shots = [info.shot for info in classes]
    weights = compute_natural_weights(labels, classes)
    balanced = subset_metrics(answers, labels, shots)
    f1 = {}
    for prior in PRIORS:
        there = reweighted(np.asarray(answers), compute_shares(classes, prior))
        f1[prior] = subset_metrics(there, labels, shots, weights).macro_f1 or 0.0
    return Score(
        template.set, template.ir, template.seed, template.method,
        balanced.balanced_accuracy or 0.0, balanced.nll or 0.0,
        f1["uniform"], f1["tempered"], f1["training"], seconds,
    )  # fmt: skip


def read_scores(path: Path) -> list[Score]:
    """Read the scores of an earlier run; none without a file."""
    if not path.is_file():
        return []
    return [Score(**row) for row in pl.read_csv(path).iter_rows(named=True)]


def write_scores(out: Path, scores: list[Score]) -> None:
    """Write the scores as a table of values and as one to read."""
    write_atomically(out / RESULTS, pl.DataFrame(map(asdict, scores)).write_csv(float_precision=5))
    write_atomically(out / REPORT, describe_scores(scores))


def describe_scores(scores: list[Score]) -> str:
    """Return a Markdown table: of each table and ratio tailfuse's means over the seeds / LightGBM's."""
    lines = [
        "| table | ratio | balanced accuracy | macro-F1, uniform | tempered | training | NLL | CPU s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, ratio in dict.fromkeys((each.table, each.ratio) for each in scores):
        cells = []
        for key, factor, digits in (
            ("balanced_accuracy", 100, 1), ("f1_uniform", 100, 1), ("f1_tempered", 100, 1),
            ("f1_training", 100, 1), ("nll", 1, 3), ("seconds", 1, 0),
        ):  # fmt: skip
            both = (
                mean(
                    getattr(each, key) * factor
                    for each in scores
                    if (each.table, each.ratio, each.method) == (name, ratio, method)
                )
                for method in (OURS, LIGHT_GBM)
            )
            cells.append(" / ".join(f"{each:.{digits}f}" for each in both))
        lines.append(f"| {name} | {ratio} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    command()
