"""A process that scores shards: `python -m tailfuse.scoring.worker FD`, started by `processes.py`.

It opens the bundle once, with one thread. It ends when its parent does, however that ends.
"""

import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread

from tailfuse_service.bundle import ServiceError

from tailfuse.errors import UserError
from tailfuse.scoring.score_shard import ShardScorer, Task


def main() -> None:
    """Receive the setup, then tasks. Send rows as they are answered, and the outcome of each task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    connection = Connection(int(sys.argv[1]))
    setup = connection.recv()
    tasks: SimpleQueue[Task] = SimpleQueue()
    Thread(target=receive_tasks, args=(connection, tasks), daemon=True).start()
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent has ended
        try:
            scorer = ShardScorer(setup)
        except (UserError, ServiceError) as error:
            connection.send(error)
            return
        while True:
            connection.send(scorer.score(tasks.get(), connection.send))


def receive_tasks(connection: Connection, tasks: SimpleQueue[Task]) -> None:
    """Queue the tasks that arrive. When the parent has closed its end, or died, end this process at once."""
    with suppress(EOFError, OSError):
        while True:
            tasks.put(connection.recv())
    os._exit(0)


if __name__ == "__main__":
    main()
