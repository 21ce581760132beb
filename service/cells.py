"""Numbers by name, in memory that other processes can read: what the workers of one service count.

Every worker writes to a file of its own, which exists in memory only, and anyone who adds the files up has
the totals; there is no lock. What a killed worker counted stays, and its successor counts on from there.
"""

import mmap
import os
import tempfile
from collections.abc import Iterator

import orjson

CAPACITY = 1 << 17  # numbers in one file; of those that are not used, no memory is taken
N_BYTES = 8 * CAPACITY

Key = tuple[str, ...]


class Cells:
    """The numbers of one file, or of this process alone. One process writes, in one thread for each number.

    `values[place(...)]` is a float64, which is written whole or not at all.
    """

    def __init__(self, file: int | None = None) -> None:
        """`file` is one of `new_file`; what it holds already is gone on with."""
        self._file = file
        self.values = memoryview(mmap.mmap(-1 if file is None else file, N_BYTES)).cast("d")
        self._places: dict[Key, int] = {}
        self._read_to = N_BYTES  # behind the numbers come their keys, a line each
        self._read_keys()

    def place(self, *key: str) -> int:
        """Where the number with this key is. A new one is 0."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self._places)
            if self._file is not None:
                self._read_to += os.pwrite(self._file, orjson.dumps(key) + b"\n", self._read_to)
        return place

    def items(self) -> Iterator[tuple[Key, float]]:
        """All keys and numbers as they are now, also those that the writer has added."""
        self._read_keys()
        return ((key, self.values[place]) for key, place in self._places.items())

    def _read_keys(self) -> None:
        if self._file is None:
            return
        written = os.pread(self._file, os.fstat(self._file).st_size - self._read_to, self._read_to)
        whole = written[: written.rfind(b"\n") + 1]  # a writer may be killed within a line
        for line in whole.splitlines():
            self._places[tuple(orjson.loads(line))] = len(self._places)
        self._read_to += len(whole)


def new_file() -> int:
    """The descriptor of a file for Cells. It has no name, and is gone when nobody has it open."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("tailfuse-cells")
    else:
        with tempfile.TemporaryFile() as opened:
            file = os.dup(opened.fileno())
    os.truncate(file, N_BYTES)
    return file
