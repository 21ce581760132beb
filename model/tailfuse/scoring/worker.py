"""A process that scores shards: `python -m tailfuse.scoring.worker FD`, started by `processes.py`.

It opens the bundle once, with one thread. It ends when its parent does, however that ends.
"""

import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from tailfuse_service.bundle import ServiceError

from tailfuse.child_process import receive_tasks
from tailfuse.errors import UserError
from tailfuse.scoring.score_shard import ShardScorer


def main() -> None:
    """Receive the setup, then tasks. Send rows as they are answered, and the outcome of each task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    connection = Connection(int(sys.argv[1]))
    setup = connection.recv()
    tasks = receive_tasks(connection)
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent has ended
        try:
            scorer = ShardScorer(setup)
        except (UserError, ServiceError) as error:
            connection.send(error)
            return
        while True:
            connection.send(scorer.score(tasks.get(), connection.send))


if __name__ == "__main__":
    main()
