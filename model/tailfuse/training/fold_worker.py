"""A process that trains fold networks: `python -m tailfuse.training.fold_worker FD`; see parallel_folds.py.

It receives jobs, one after the other. Of each it sends the epochs, and FINISHED when there is a checkpoint.
"""

import signal
import sys
from multiprocessing.connection import Connection

from lightning_fabric import Fabric

from tailfuse.child_process import receive_tasks
from tailfuse.network.torch_state import torch_state
from tailfuse.training.loop import fit_network
from tailfuse.training.parallel_folds import FINISHED, Job


def main() -> None:
    """Train what arrives, as `fit.py` does on one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    connection = Connection(int(sys.argv[1]))
    jobs = receive_tasks(connection)
    fabric = Fabric(accelerator="cpu", devices=1)
    with torch_state(deterministic=True, threads=1):
        while True:
            job: Job = jobs.get()
            fit_network(
                fabric, job.network, job.stage, job.training, job.path,
                lambda _, epoch: connection.send(epoch),
            )  # fmt: skip
            connection.send(FINISHED)


if __name__ == "__main__":
    main()
