"""Arrays that are mapped from files."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_BYTES = 2**28  # what is smaller stays in memory once it has been read


def read_ahead(array: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Have the system read rows of a mapped array, all at once: taken one by one, each waits for the disk.

    It goes on meanwhile. Of an array in memory there is nothing to read.
    """
    if array.nbytes < MIN_BYTES:
        return
    whole: Any = array
    while isinstance(whole, np.ndarray) and not isinstance(whole, np.memmap):
        whole = whole.base
    if not isinstance(whole, np.memmap) or not isinstance(whole.base, mmap.mmap):
        return
    start = find_address(array) - find_address(whole) + whole.offset % mmap.ALLOCATIONGRANULARITY
    size, madvise = array.strides[0], whole.base.madvise
    for first in (start + rows * size).tolist():
        before = first % mmap.PAGESIZE
        madvise(mmap.MADV_WILLNEED, first - before, before + size)


def find_address(array: NDArray[Any]) -> int:
    """Return where an array begins in memory."""
    address: int = array.__array_interface__["data"][0]
    return address
