"""A bundle of reduced precision, and its cost: both graphs are evaluated on the same test rows."""

import shutil
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tailfuse_service.bundle import (
    GRAPHS,
    MANIFEST,
    Manifest,
    Runtime,
    atomic_folder,
    open_bundle,
    open_graph,
    sha256,
)
from tailfuse_service.bundle.files import read_manifest, unpacked
from tailfuse_service.bundle.manifest import Reduction, SubsetMetrics

from tailfuse.data.labelled import is_training_table, labelled_part
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import ExportError, UserError
from tailfuse.evaluation.card import model_card
from tailfuse.evaluation.check_adaptation import keep_answers
from tailfuse.evaluation.evaluate import evaluate
from tailfuse.evaluation.metrics import subset_metrics
from tailfuse.evaluation.pages import page
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.evaluation.prior import mean_answers
from tailfuse.evaluation.prior_metrics import evaluate_priors
from tailfuse.export.adapt import HEADING
from tailfuse.export.precision import (
    Reduced,
    convert_to_float16,
    convert_to_int8,
    find_block_weights,
    find_encoder_weights,
)

BATCH_SIZES = (1, 32)
TIMED_RUNS = 200


class GraphScores(NamedTuple):
    """Scores of one graph on the test rows as given."""

    metrics: SubsetMetrics
    n_bytes: int
    microseconds: dict[int, float]  # per sample, by batch size; of rows with every modality, on one thread


class Comparison(NamedTuple):
    """The cost and the gain of reduced precision."""

    manifest: Manifest
    float32: GraphScores
    reduced: GraphScores
    difference: float  # greatest of a probability


def reduce_bundle(
    source: Path, table: Path, precision: Reduced, target: Path, version: str | None = None
) -> Comparison:
    """Write the bundle of `source` with a graph of less precision at `target`; whole or not at all.

    `table` is the one that it was trained on. The new bundle has no TorchScript, which would answer
    otherwise. Without a `version` it is that of the source and the precision.

    Raises BundleError, UserError, TableError, ExportError.
    """
    with unpacked(source) as folder:
        manifest = read_manifest(folder)
        check_reducible(source, manifest, table)
        weights = find_encoder_weights(manifest, precision)
        train, val, test = (labelled_part(manifest, table, part) for part in ("train", "val", "test"))
        with atomic_folder(target) as new:
            graph = new / GRAPHS["onnx"]
            if precision == "int8":
                convert_to_int8(folder / graph.name, graph, weights, find_block_weights(manifest), train)
            else:
                convert_to_float16(folder / graph.name, graph, weights)
            comparison = compare_graphs(folder / graph.name, graph, manifest, test)
            version = version or f"{manifest.version}+{precision}"
            manifest = write_files(new, folder, precision, comparison, val, test, version)
            open_bundle(new)  # as the service will
    return comparison._replace(manifest=manifest)


def check_reducible(source: Path, manifest: Manifest, table: Path) -> None:
    """Raises UserError, TableError."""
    if manifest.precision != "float32":
        raise UserError(f"{source} is {manifest.precision} already; start from the bundle it was made of")
    if manifest.adaptation is not None:
        raise UserError(f"{source} is adapted; give the bundle it was made of, and adapt the new one")
    if not table.is_file():
        raise UserError(f"--table: {table}: no such file")
    if not is_training_table(manifest, table):
        raise UserError(f"--table: {table} is not the table that {source} was trained on")


def compare_graphs(before: Path, after: Path, manifest: Manifest, test: SplitArrays) -> Comparison:
    """Compare both graphs on the same rows, timed in turns. Raises ExportError."""
    paths = (before, after)
    runtimes = [open_graph(path, manifest, runtime="onnx") for path in paths]
    old, new = (predict_part(runtime.run, test).probabilities for runtime in runtimes)
    difference = float(np.abs(new - old).max())
    if not np.isfinite(difference):
        raise ExportError(
            "the graph of reduced precision returns values that are not numbers. No bundle was written."
        )
    shots = [info.shot for info in manifest.classes]
    times = measure_microseconds(runtimes, test)
    float32, reduced = (
        GraphScores(subset_metrics(answers, test.labels, shots), path.stat().st_size, each)
        for answers, path, each in zip((old, new), paths, times, strict=True)
    )
    return Comparison(manifest, float32, reduced, difference)


def measure_microseconds(runtimes: list[Runtime], part: SplitArrays) -> list[dict[int, float]]:
    """Measure the median time of a sample for each runtime, by batch size."""
    taken: list[dict[int, float]] = [{} for _ in runtimes]
    for size in BATCH_SIZES:
        position = {name: np.resize(np.arange(len(rows)), size) for name, rows in part.inputs.items()}
        batch = SplitArrays(part.inputs, position, np.zeros(size, np.int64)).batch()
        times: list[list[float]] = [[] for _ in runtimes]
        for _ in range(TIMED_RUNS):
            for each, runtime in zip(times, runtimes, strict=True):
                start = time.perf_counter()
                runtime.run(batch)
                each.append(time.perf_counter() - start)
        for by_size, each in zip(taken, times, strict=True):
            by_size[size] = statistics.median(each) / size * 1e6
    return taken


def write_files(
    new: Path, folder: Path, precision: Reduced, comparison: Comparison, val: SplitArrays, test: SplitArrays,
    version: str,
) -> Manifest:  # fmt: skip
    """Write the pages and the manifest beside the new graph, with the metrics of every subset."""
    manifest = comparison.manifest
    run = open_graph(new / GRAPHS["onnx"], manifest, runtime="onnx", threads=0).run
    evaluation = replace(evaluate(run, test, manifest.classes), priors=evaluate_priors(run, test, manifest))
    reduction = Reduction(
        precision=precision,
        before=comparison.float32.metrics,
        after=comparison.reduced.metrics,
        difference=comparison.difference,
        bytes_before=comparison.float32.n_bytes,
        bytes_after=comparison.reduced.n_bytes,
    )
    val_answers = predict_part(run, val).probabilities
    manifest = manifest.model_copy(
        update={
            "version": version,
            "metrics": evaluation.metrics,
            "validation_metrics": evaluate(run, val, manifest.classes).metrics,
            "prior_metrics": evaluation.priors,
            "reference": {
                name: each.model_copy(update={"inputs": manifest.reference[name].inputs})
                for name, each in evaluation.reference.items()
            },
            "held_out": mean_answers(val_answers, val.labels),
            "held_out_rows": keep_answers(val_answers, val.labels),
            "parity": {},
            "reduction": reduction,
        }
    )
    notice = page("reduced.html.jinja", {"reduction": reduction})
    card, report = new / "MODEL_CARD.md", new / "report.html"
    card.write_text(insert_notice(model_card(manifest, evaluation), card.name, notice), "utf-8")
    if report.name in manifest.files:
        shutil.copyfile(folder / report.name, report)
        report.write_text(insert_notice(report.read_text("utf-8"), report.name, notice), "utf-8")
    files = {file.name: sha256(file) for file in sorted(new.iterdir())}
    manifest = manifest.model_copy(update={"files": files})
    (new / MANIFEST).write_text(manifest.model_dump_json(indent=1))
    return manifest


def insert_notice(text: str, name: str, notice: str) -> str:
    """Insert the notice below a page's heading."""
    return HEADING[name].sub(lambda found: found[0] + notice, text, count=1)
