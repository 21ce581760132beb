"""A process that reads pieces of a table: `python -m tailfuse.data.piece_worker FD`; see pieces.py.

It receives sources, whose tables are the pieces. Of each it sends the rows, or None if they cannot be read.
"""

import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np

from tailfuse.child_process import receive_tasks
from tailfuse.data.pieces import read_piece
from tailfuse.data.read_rows import Source
from tailfuse.errors import UserError
from tailfuse.files.cache import Pieces


def main() -> None:
    """Read what arrives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    connection = Connection(int(sys.argv[1]))
    sources = receive_tasks(connection)
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent has ended
        while True:
            connection.send(read(sources.get()))


def read(source: Source) -> Pieces | None:
    """Return the rows of a piece; None if they cannot be read."""
    with suppress(UserError):
        return read_piece(source, np.arange(len(source.table)))
    return None


if __name__ == "__main__":
    main()
