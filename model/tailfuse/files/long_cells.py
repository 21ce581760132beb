"""CSV cells of any length: a cell may hold a time series."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def long_cells() -> Iterator[None]:
    """Lift the limit that the csv module sets to a cell, for the length of a block."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
