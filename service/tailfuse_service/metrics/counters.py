"""Numbers by name, in memory that other processes can read: what the workers of one service count.

Every worker writes to a file of its own, which exists in memory only, and anyone who adds the files up has
the totals; there is no lock. What a killed worker counted stays, and its successor counts on from there.
"""

import mmap
import os
import tempfile
import threading
from typing import TypeAlias

import orjson

from tailfuse_service.logs import LOG

CAPACITY = 1 << 20  # numbers in one file; of those that are not used, no memory is taken
N_BYTES = 8 * CAPACITY

Key = tuple[str, ...]
Block: TypeAlias = "memoryview[float]"  # of float64, each written whole or not at all


class SharedCounters:
    """Blocks of numbers in one file, or of this process alone. One process writes them.

    Behind the numbers comes a line for each change of the blocks: where it begins, how many numbers it has
    (none: it is given up), and its key.
    """

    def __init__(self, file: int | None = None) -> None:
        """`file` is one of `new_file`; what it holds already is gone on with."""
        self.lock = threading.RLock()  # for whoever counts in one of several threads
        self._file = file
        self._values: Block = memoryview(mmap.mmap(-1 if file is None else file, N_BYTES)).cast("d")
        self._blocks: dict[Key, tuple[int, int]] = {}  # where each begins, and its size
        self._free: dict[int, list[int]] = {}  # by size, blocks that were given up
        self._end = 0
        self._read_to = N_BYTES
        self._full = False
        self._read_lines()

    def block(self, *key: str, size: int = 1) -> Block:
        """The numbers with this key; new ones are 0. When the file is full, they are this process's alone."""
        with self.lock:
            found = self._blocks.get(key)
            if found is None or found[1] != size:
                self.forget(key)
                free = self._free.get(size)
                start = free[-1] if free else self._end
                if start + size > CAPACITY:
                    return self._lost(size)
                found = start, size
                self._values[start : start + size] = memoryview(bytes(8 * size)).cast("d")
                self._change(start, size, key)
        return self._values[found[0] : found[0] + size]

    def forget(self, key: Key) -> None:
        """Give up a block, if it is there; its numbers go to the next one of its size."""
        with self.lock:
            found = self._blocks.get(key)
            if found is not None:
                self._change(found[0], 0, key)

    def known(self) -> list[Key]:
        """Those that are known here; of another process's file as of the last `items`."""
        return list(self._blocks)

    def items(self) -> list[tuple[Key, list[float]]]:
        """All keys and numbers as they are now, also those that the writer has added."""
        self._read_lines()
        while True:
            read_to, found = self._read_to, list(self._blocks.items())
            items = [(key, list(self._values[start : start + size])) for key, (start, size) in found]
            self._read_lines()
            if self._read_to == read_to:
                return items  # else a block may have got another key meanwhile

    def _change(self, start: int, size: int, key: Key) -> None:
        if self._file is not None:
            self._read_to += os.pwrite(self._file, orjson.dumps((start, size, *key)) + b"\n", self._read_to)
        self._apply(start, size, key)

    def _apply(self, start: int, size: int, key: Key) -> None:
        if not size:
            self._free.setdefault(self._blocks.pop(key)[1], []).append(start)
        elif start < self._end:
            self._free[size].remove(start)
            self._blocks[key] = start, size
        else:
            self._blocks[key] = start, size
            self._end = start + size

    def _read_lines(self) -> None:
        if self._file is None:
            return
        written = os.pread(self._file, os.fstat(self._file).st_size - self._read_to, self._read_to)
        whole = written[: written.rfind(b"\n") + 1]  # a writer may be killed within a line
        for line in whole.splitlines():
            start, size, *key = orjson.loads(line)
            self._apply(start, size, tuple(key))
        self._read_to += len(whole)

    def _lost(self, size: int) -> Block:
        if not self._full:
            self._full = True
            LOG.error("there is no room for more metrics; new ones are not shown")
        return memoryview(bytearray(8 * size)).cast("d")


def make_file(n_bytes: int = N_BYTES) -> int:
    """The descriptor of a file, large enough for Cells. It has no name, and goes when nobody has it open."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("tailfuse-cells")
    else:
        with tempfile.TemporaryFile() as opened:
            file = os.dup(opened.fileno())
    os.truncate(file, n_bytes)
    return file
