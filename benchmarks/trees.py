"""What trees would add to the network: python benchmarks/trees.py SPEC …

Trains tailfuse and extremely randomised trees on the rows of each spec, and adds their log-probabilities.
Prints a line of JSON for each spec: balanced accuracy and class-balanced negative log-likelihood of the test
rows by tailfuse, by the trees, and by both, with the trees' log-probabilities multiplied by 0.5 and by 1.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from tailfuse.api.compare import predict_test_rows
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.spec.schema import load_spec
from tailfuse_bench.classifiers import fit_classifiers
from tailfuse_bench.methods import EXTRA_TREES

SHARES = (0.5, 1.0)
LOWEST = 1e-9  # probability


def main() -> None:
    """Compare on each spec."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("specs", nargs="+", type=Path)
    for path in parser.parse_args().specs:
        spec = load_spec(path)
        dataset = load_dataset(spec)
        answers = {"tailfuse": predict_test_rows("confidence", spec, dataset)}
        answers["trees"] = fit_classifiers(EXTRA_TREES, dataset)(dataset.test.batch()).probabilities
        own, trees = (np.log(np.maximum(each, LOWEST)) for each in answers.values())
        answers |= {f"both, {share}": normalise(own + share * trees) for share in SHARES}
        scores = {name: score(each, dataset) for name, each in answers.items()}
        print(json.dumps({"spec": spec.name, "test_rows": len(dataset.test)} | scores), flush=True)


def normalise(log_p: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return probabilities: (N, C) -> (N, C)"""
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    normalised: NDArray[np.floating] = p / p.sum(axis=1, keepdims=True)
    return normalised


def score(probabilities: NDArray[np.floating], dataset: Dataset) -> dict[str, float]:
    """Return the figures of the test rows."""
    labels = dataset.test.labels
    losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], LOWEST))
    return {
        "balanced_accuracy": round(balanced_accuracy_score(labels, probabilities.argmax(axis=1)), 4),
        "nll": round(float(np.average(losses, weights=compute_sample_weight("balanced", labels))), 4),
    }


if __name__ == "__main__":
    main()
