"""CPU time and size of a forest in model.onnx, beside its operations in torch exported one by one.

python benchmarks/forest.py

Each form is a graph of its own: the time has one call of the runtime in it, which `alone` says. Both take the
same rows in turns, on one thread. Prints JSON.
"""

import json
import logging
import statistics
import time
import warnings

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from tailfuse.export.tree_ensembles import fill_tree_ensembles
from tailfuse.network.forest import ForestExpert
from torch import Tensor, nn

TABLES = ((200, 9, 6), (3000, 40, 10))  # rows, columns, classes
BATCH_SIZES = (1, 32)
ROUNDS, CALLS = 40, 200


class OneByOne(nn.Module):
    """The forest as its operations in torch."""

    def __init__(self, forest: ForestExpert) -> None:
        super().__init__()
        self.forest = forest

    def forward(self, rows: Tensor) -> Tensor:
        return self.forest.score(self.forest.average_leaves(rows))


def make_forest(n_rows: int, n_columns: int, n_classes: int) -> ForestExpert:
    """Fit a forest to rows whose class is the greatest of some sums of four columns."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(n_rows, n_columns)).astype(np.float32)
    forest = ForestExpert(n_classes)
    forest.fit(rows, (rows[:, :4] @ random.normal(size=(4, n_classes))).argmax(axis=1))
    return forest.eval()


def export(module: nn.Module, n_columns: int, forests: list[ForestExpert]) -> bytes:
    """Export a module of rows (n, D) as a graph of ONNX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, (torch.zeros(9, n_columns),), dynamo=True, verbose=False, input_names=["rows"],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )  # fmt: skip
    assert program is not None
    fill_tree_ensembles(program.model.graph, forests)
    return bytes(ir.to_proto(program.model).SerializeToString())


def open_graph(graph: bytes) -> onnxruntime.InferenceSession:
    """Open a graph as the service does, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options)


def measure(graphs: dict[str, bytes], n_columns: int, size: int) -> dict[str, float]:
    """Measure the median CPU time of a row in microseconds, of each graph in turns."""
    rows = np.random.default_rng(1).normal(size=(size, n_columns)).astype(np.float32)
    sessions = {name: open_graph(graph) for name, graph in graphs.items()}
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            begun = time.process_time()
            for _ in range(CALLS):
                session.run(None, {"rows": rows})
            times[name].append(time.process_time() - begun)
    return {name: round(statistics.median(each) / CALLS / size * 1e6, 1) for name, each in times.items()}


def main() -> None:
    """Measure both forms on each table."""
    logging.disable(logging.WARNING)
    for n_rows, n_columns, n_classes in TABLES:
        forest = make_forest(n_rows, n_columns, n_classes)
        graphs = {
            "alone": export(nn.Identity(), n_columns, []),
            "one node": export(forest, n_columns, [forest]),
            "one by one": export(OneByOne(forest), n_columns, []),
        }
        print(
            json.dumps(
                {
                    "columns": n_columns,
                    "classes": n_classes,
                    "bytes": {name: len(graph) for name, graph in graphs.items()},
                    **{f"us, {size} rows": measure(graphs, n_columns, size) for size in BATCH_SIZES},
                }
            )
        )


if __name__ == "__main__":
    main()
