"""A made-up table of a bench, as `tailfuse bench` would write it: eight sets, a few methods."""

from itertools import combinations
from typing import TypedDict

import numpy as np
from tailfuse_bench.methods import ADAPTED, CONCAT, METHODS, OURS, SPECIALIST
from tailfuse_bench.records import Bin, Result
from tailfuse_bench.sections.headline import SINGLE
from tailfuse_bench.sections.weights import UNIFORM

DATASETS = {
    "cub": ("image", "text"),
    "ham10000": ("clinical", "image"),
    "handwritten": ("fac", "fou", "pix"),
    "leaf99": ("image", "shape"),
    "pie": ("v1", "v2", "v3"),
    "rosmap": ("meth", "mirna", "mrna"),
    "scene15": ("gist", "lbp", "phog"),
    "wiki": ("image", "text"),
}
OWN = {"ham10000": (0,), "rosmap": (0, 10)}
BASELINES = (SINGLE, CONCAT, UNIFORM, "cross-entropy", "logistic regression")
ABLATIONS = ("three experts",)
DAMAGES = ("noise_1", "noise_3", "other_row", "blank", "blur", "jpeg")


class Place(TypedDict):
    """Where in the bench a result was measured."""

    set: str
    ir: int
    seed: int
    method: str


class Metrics(TypedDict):
    """How good the answers were."""

    rows: int
    balanced_accuracy: float
    macro_f1: float
    accuracy: float
    many: float
    medium: float
    few: float
    nll: float
    ece: float


def bench(seeds: int = 5, seed: int = 0) -> tuple[list[Result], list[Bin]]:
    """A whole bench of made-up numbers: ours is 80 %, each method some points below, noise of one point."""
    random = np.random.default_rng(seed)
    results: list[Result] = []
    bins: list[Bin] = []
    behind = {name: 0.01 + 0.004 * at for at, name in enumerate((*BASELINES, *ABLATIONS))} | {
        OURS: 0.0,
        ADAPTED: 0.0,
        SPECIALIST: 0.001,
    }
    for at, (name, modalities) in enumerate(DATASETS.items()):
        full = "+".join(modalities)
        subsets = [
            "+".join(each)
            for size in range(1, len(modalities) + 1)
            for each in combinations(modalities, size)
        ]
        for ir in OWN.get(name, (10, 50)):
            for s in range(seeds):
                for method in [OURS, *BASELINES, *ABLATIONS, SPECIALIST]:
                    headline_only = METHODS[method].headline_only
                    if headline_only and ir not in (0, 50):
                        continue
                    place: Place = {"set": name, "ir": ir, "seed": s, "method": method}
                    level = 0.8 - 0.02 * at - 0.0005 * ir - behind[method]
                    for subset in subsets:
                        found = level - 0.05 * (full.count("+") - subset.count("+"))
                        found += 0.01 * random.standard_normal()
                        results.append(Result(**place, subset=subset, **metrics(found, random)))
                    if method == SPECIALIST:
                        continue
                    results.append(
                        Result(
                            **place, condition="cost", parameters=100_000 if method == OURS else 50_000,
                            train_seconds=30.0 + random.random(), predict_microseconds=55.0,
                        )
                    )  # fmt: skip
                    for modality in modalities:
                        results.append(
                            Result(
                                **place, subset=full, modality=modality, weight=1 / len(modalities), auroc=0.8
                            )
                        )
                        if ir not in (0, 50):
                            continue
                        for damage in DAMAGES:
                            found = level - 0.05 - (0.1 if damage == "other_row" else 0)
                            weight = 0.3 if damage == "other_row" else 0.02
                            results.append(
                                Result(
                                    **place, subset=full, condition=damage, modality=modality, weight=weight,
                                    **metrics(found, random),
                                )
                            )  # fmt: skip
                        for scale in (0.0, 0.5, 1.0, 2.0, 4.0):
                            weight = 1 / len(modalities) / (1 + scale**2)
                            results.append(
                                Result(
                                    **place, subset=full, condition="noise_added", level=scale,
                                    modality=modality, weight=weight,
                                )
                            )  # fmt: skip
                if ir in (0, 50):
                    for shift, gain in (("long", 0.03), ("uniform", -0.001), ("inverse", 0.02)):
                        for method in (OURS, ADAPTED):
                            found = (
                                0.75 + (gain if method == ADAPTED else 0) + 0.005 * random.standard_normal()
                            )
                            place = {"set": name, "ir": ir, "seed": s, "method": method}
                            results.append(
                                Result(
                                    **place, subset=full, condition=f"shift_{shift}", **metrics(found, random)
                                )
                            )
                    for k in range(10):
                        said = 0.3 + 0.07 * k
                        bins.append(Bin(name, ir, s, OURS, full, 20, said, said - 0.03))
    return results, bins


def metrics(found: float, random: np.random.Generator) -> Metrics:
    few = found - 0.1 + 0.01 * random.standard_normal()
    return {
        "rows": 500, "balanced_accuracy": found, "macro_f1": found, "accuracy": found + 0.01,
        "many": found + 0.05, "medium": found, "few": few, "nll": 0.9, "ece": 0.03 + 0.002 * random.random(),
    }  # fmt: skip
