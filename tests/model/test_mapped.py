"""Rows of a mapped array are read before they are taken; arrays in memory are left alone."""

import ctypes
import mmap
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tailfuse.files import mapped
from tailfuse.files.cache import cached
from tailfuse.files.mapped import find_address, read_ahead

from tests.support.process import until

PAGE = mmap.PAGESIZE
ROWS, WIDTH = 64, 5 * PAGE // 4  # bytes: rows begin and end within pages


@pytest.fixture
def array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """None of its pages is in memory."""
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path))
    monkeypatch.setattr(mapped, "MIN_BYTES", 0)
    numbers = np.arange(ROWS * WIDTH, dtype=np.uint8).reshape(ROWS, WIDTH)
    for _ in range(2):
        found = cached("numbers", numbers.shape, np.uint8, lambda: [numbers])
    with (tmp_path / "numbers.npy").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if find_pages_in_memory(found).any():
        pytest.skip("this file system keeps the pages of its files in memory")
    return found


def find_pages_in_memory(array: np.ndarray) -> np.ndarray:
    """Return of each page of an array whether it is in memory, from the page in which the array begins."""
    address = find_address(array)
    start = address - address % PAGE
    length = address + array.nbytes - start
    found = np.zeros(-(-length // PAGE), np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(length), ctypes.c_void_p(find_address(found)))
    assert done == 0, os.strerror(ctypes.get_errno())
    in_memory: np.ndarray = found & 1 == 1
    return in_memory


def find_pages(array: np.ndarray, rows: list[int]) -> set[int]:
    """Return the pages of rows, counted as `find_pages_in_memory` does."""
    offset = find_address(array) % PAGE
    return {
        page
        for row in rows
        for page in range((offset + row * WIDTH) // PAGE, (offset + (row + 1) * WIDTH - 1) // PAGE + 1)
    }


@pytest.mark.parametrize("rows", [[], [0], [63], [5, 40, 5], [20, 21, 22], list(range(ROWS))])
def test_the_pages_of_these_rows_are_read_and_no_others(array: np.ndarray, rows: list[int]) -> None:
    wanted = find_pages(array, rows)
    read_ahead(array, np.array(rows, np.int64))
    until(lambda: set(np.flatnonzero(find_pages_in_memory(array))) >= wanted, "they are read")
    time.sleep(0.05)  # what is read too much would come in this time
    assert set(np.flatnonzero(find_pages_in_memory(array))) == wanted


def test_rows_of_a_part_are_those_of_the_part(array: np.ndarray) -> None:
    wanted = find_pages(array, [33])
    read_ahead(array[30:], np.array([3]))
    until(lambda: find_pages_in_memory(array).any(), "the row is read")
    time.sleep(0.05)
    assert set(np.flatnonzero(find_pages_in_memory(array))) == wanted


@pytest.mark.parametrize("make", [np.zeros, lambda shape: np.zeros(shape)[1:], lambda _: np.empty(3, object)])
def test_of_an_array_in_memory_nothing_is_read(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[np.ndarray] = []  # whose place in their file is looked for
    monkeypatch.setattr(mapped, "MIN_BYTES", 0)
    monkeypatch.setattr(mapped, "find_address", asked.append)
    read_ahead(make((4, 2)), np.array([2]))
    assert not asked


def test_a_small_array_is_left_to_the_system(array: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "MIN_BYTES", array.nbytes + 1)
    read_ahead(array, np.arange(ROWS))
    time.sleep(0.05)
    assert not find_pages_in_memory(array).any()
