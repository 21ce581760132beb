"""Train fold networks in processes of their own, where cores are free and it saves more than it costs.

Each process leaves the checkpoint of a finished stage. The training then goes on from it as if it had been
stopped there: it ends with the same weights, to the bit. A process that fails costs time only, for its fold
is trained as if there had been none.
"""

import math
import os
from collections.abc import Iterable
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

import torch
from joblib import cpu_count, wrap_non_picklable_objects
from lightning_fabric import Fabric

from tailfuse.child_process import ChildProcess, start_child
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.network.build import AnyNetwork
from tailfuse.spec.schema import TrainingSpec
from tailfuse.training.loop import Progress, Stage
from tailfuse.training.state import Epoch

WORKER = "tailfuse.training.fold_worker"
FINISHED = "finished"  # what a process says when a checkpoint is there
MIN_SAVED_S = 10.0  # a process takes about 3 seconds to start
MAX_BYTES = 2**29  # of the rows, which each process holds


class Job(NamedTuple):
    """A network to train, untrained, and where its checkpoint goes."""

    network: AnyNetwork
    stage: Stage
    training: TrainingSpec
    path: Path


def count_processes(fabric: Fabric, train: SplitArrays, n_folds: int, fold_s: float) -> int:
    """Return how many processes to train folds with, each of which takes about `fold_s`; 0: not worth it.

    Only of networks that train on one thread of the CPU: others use the cores already.
    """
    here = fabric.device.type == "cpu" and fabric.world_size == 1 and torch.get_num_threads() == 1
    if os.name != "posix":
        return 0  # a process could not inherit the socket over which it is spoken to
    if not here or fabric.strategy.precision.precision != "32-true" or count_bytes(train) > MAX_BYTES:
        return 0
    count = min(n_folds, cpu_count())  # which knows the quota of a container
    saved_s = fold_s * (n_folds - math.ceil(n_folds / count)) if count > 1 else 0.0
    return count if saved_s >= MIN_SAVED_S else 0


def count_bytes(part: SplitArrays) -> int:
    """Count the bytes of all rows."""
    arrays = part.inputs.values()
    return sum(sum(row.nbytes for row in each) if each.dtype == object else each.nbytes for each in arrays)


def train_in_processes(jobs: Iterable[Job], count: int, on_epoch: Progress) -> None:
    """Train with so many processes at once, and leave the checkpoints.

    A process is not heard: what goes wrong in it goes wrong here too, where its fold is trained again.
    """
    waiting = iter(jobs)
    started = [start_child(WORKER, is_heard=False) for _ in range(count)]
    children = {each.connection: each for each in started}
    current: dict[ChildProcess, Job] = {}

    def assign(child: ChildProcess) -> None:
        if (job := next(waiting, None)) is not None:
            current[child] = job
            # Losses are functions within functions, which pickle alone does not know.
            child.send(wrap_non_picklable_objects(job, keep_wrapper=False))

    try:
        for child in children.values():
            assign(child)
        while current:
            for connection in wait([child.connection for child in current]):
                child = children[connection]  # type: ignore[index]  # wait() knows no connections
                message = child.receive()
                if isinstance(message, Epoch):
                    on_epoch(current[child].stage, message)
                    continue
                del current[child]
                if message == FINISHED:  # else it has died
                    assign(child)
    finally:
        for child in children.values():
            child.kill()
