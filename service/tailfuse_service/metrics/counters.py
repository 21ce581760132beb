"""Counters in memory that other processes can read, shared by the workers of one service.

Each worker writes to its own file, which exists in memory only. The totals are the sums over the files, so
that no lock between processes is needed. The counts of a killed worker stay; its successor continues them.
"""

import mmap
import os
import tempfile
import threading
from typing import TypeAlias

import orjson

from tailfuse_service.logs import LOG

CAPACITY = 1 << 20  # numbers in one file; unused ones take no memory
N_BYTES = 8 * CAPACITY

Key = tuple[str, ...]
Block: TypeAlias = "memoryview[float]"  # of float64; each write is atomic


class SharedCounters:
    """Blocks of numbers in one shared file, or in this process alone. Only one process writes them.

    After the numbers, the file has one line for each change of the blocks: a block's start, its size (0 frees
    the block), and its key.
    """

    def __init__(self, file: int | None = None) -> None:
        """`file` comes from `make_file`; existing counts in it are continued."""
        self.lock = threading.RLock()  # for counts from several threads
        self._file = file
        self._values: Block = memoryview(mmap.mmap(-1 if file is None else file, N_BYTES)).cast("d")
        self._blocks: dict[Key, tuple[int, int]] = {}  # start and size of each
        self._free: dict[int, list[int]] = {}  # by size, the starts of freed blocks
        self._end = 0
        self._read_to = N_BYTES
        self._full = False
        self._read_lines()

    def block(self, *key: str, size: int = 1) -> Block:
        """Return the numbers of a key, 0 at first. When the file is full, new blocks are not shared."""
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
        """Free a block, if it exists; the next block of its size takes its place."""
        with self.lock:
            found = self._blocks.get(key)
            if found is not None:
                self._change(found[0], 0, key)

    def find(self, key: Key) -> "Block | None":
        """Return the numbers of a key as they are now; None if the writer has no such key."""
        self._read_lines()
        found = self._blocks.get(key)
        return None if found is None else self._values[found[0] : found[0] + found[1]]

    def known(self) -> list[Key]:
        """Return the known keys; for another process's file, those of the last `items`."""
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
        with self.lock:  # or a line that another thread writes just now would count twice
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
    """Return the descriptor of a nameless file for SharedCounters, deleted when no process has it open."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("tailfuse-cells")
    else:
        with tempfile.TemporaryFile() as opened:
            file = os.dup(opened.fileno())
    os.truncate(file, n_bytes)
    return file
