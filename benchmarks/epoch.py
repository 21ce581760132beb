"""Seconds of an epoch, beside a bare loop of torch: python benchmarks/epoch.py SPEC [SPEC …]

Both train the same network on the same rows with the same loss. The bare loop has its batches as tensors
before the clock runs, draws nothing, keeps no average and validates nothing: forward, backward, step. They
take turns. Prints a line of JSON for each spec: medians in milliseconds of processor time by epoch.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from lightning_fabric import Fabric
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset
from tailfuse.errors import UserError
from tailfuse.network.build import AnyNetwork
from tailfuse.network.frozen import add_frozen_features
from tailfuse.network.tensors import move_tensors
from tailfuse.spec.schedule import Schedule
from tailfuse.spec.schema import Spec, TrainingSpec, load_spec
from tailfuse.training.families import choose_family
from tailfuse.training.fit import FINAL, Plan, Training, find_augmentations, make_reproducible
from tailfuse.training.loader import LabelledBatch, load_batches
from tailfuse.training.loop import Stage, fit_network, make_parameter_groups, split_order
from tailfuse.training.objective import Draw, Objective

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Case:
    """The training of a spec: `make` returns an untrained network and its stage."""

    make: Callable[[], tuple[AnyNetwork, Stage]]
    training: TrainingSpec


def make_case(spec: Spec, dataset: Dataset, epochs: int) -> Case:
    """Make what the final stage of a training trains."""
    fabric = Fabric(accelerator="cpu", devices=1)
    family = choose_family(spec)
    first = family.build(spec, dataset)
    encoders = dict(zip(first.modalities, first.encoders, strict=True))
    featured = add_frozen_features(dataset, encoders, device=CPU, seed=spec.seed)
    as_decoded = [name for name in encoders if featured.train.inputs[name] is dataset.train.inputs[name]]
    schedule = Schedule(epochs=epochs, patience=epochs, folds=0)
    training = Training(
        family, spec, featured, fabric, None, first, {}, schedule, find_augmentations(spec, as_decoded), None
    )
    plan = Plan(FINAL, spec.seed, featured.train, featured.val, epochs)
    return Case(lambda: training.prepare(plan), spec.training)


def time_tailfuse(case: Case, *, validates: bool) -> float:
    """Return the CPU seconds of tailfuse's epochs."""
    network, stage = case.make()
    stage = stage if validates else stage._replace(val=None)
    start = time.process_time()
    fit_network(Fabric(accelerator="cpu", devices=1), network, stage, case.training, None, lambda *_: None)
    return time.process_time() - start


def time_bare(case: Case) -> float:
    """Return the CPU seconds of as many epochs of a bare loop."""
    network, stage = case.make()
    rows = split_order(np.random.default_rng(0).permutation(len(stage.train)), case.training.batch_size, 1)
    batches = list(load_batches(stage.train, rows, CPU))
    optimizer = torch.optim.AdamW(
        [{"params": group["params"]} for group in make_parameter_groups(network)],
        lr=case.training.learning_rate, weight_decay=case.training.weight_decay, fused=True,
    )  # fmt: skip
    objective = Objective(network).train()
    start = time.process_time()
    for epoch in range(stage.epochs):
        run_bare_epoch(objective, optimizer, batches, epoch / stage.epochs)
    return time.process_time() - start


def run_bare_epoch(
    objective: Objective, optimizer: torch.optim.Optimizer, batches: Sequence[LabelledBatch], progress: float
) -> None:
    """Take a step by each batch."""
    for batch in batches:
        inputs, rows, presence = move_tensors(batch.tensors, CPU)
        whole = Draw(presence.float(), torch.arange(len(presence)), torch.ones(()))
        optimizer.zero_grad()
        loss = objective(inputs, rows, presence, batch.labels, whole, progress)
        loss.backward()
        optimizer.step()


def measure(spec: Spec, epochs: int, rounds: int) -> dict[str, float | int | str]:
    """Time the loops in turns."""
    dataset = load_dataset(spec)
    with make_reproducible(spec, dataset):
        case = make_case(spec, dataset, epochs)
        loops: dict[str, Callable[[], float]] = {
            "bare": lambda: time_bare(case),
            "tailfuse": lambda: time_tailfuse(case, validates=False),
            "with_validation": lambda: time_tailfuse(case, validates=True),
        }
        time_bare(case)  # to warm up
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(rounds):
            for name, loop in loops.items():
                seconds[name].append(loop() / epochs)
    found = {name: median(each) for name, each in seconds.items()}
    return {
        "spec": spec.name, "rows": len(dataset.train), "epochs": epochs, "rounds": rounds,
        **{f"{name}_ms": round(1000 * each, 2) for name, each in found.items()},
        **{f"{name}_ratio": round(each / found["bare"], 2) for name, each in found.items() if name != "bare"},
    }  # fmt: skip


def main() -> None:
    """Measure each spec."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("specs", nargs="+", type=Path, metavar="SPEC", help="a training's spec.yaml")
    options.add_argument("--epochs", type=int, default=10, help="of each loop in a round")
    options.add_argument("--rounds", type=int, default=5, help="in which the loops take turns")
    given = options.parse_args()
    try:
        for path in given.specs:
            print(json.dumps(measure(load_spec(path), given.epochs, given.rounds)), flush=True)
    except UserError as error:
        raise SystemExit(f"Error: {error}") from None


if __name__ == "__main__":
    main()
