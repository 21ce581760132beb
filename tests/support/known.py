"""A value that may be None by its type, and is not in the test at hand."""

from typing import TypeVar

T = TypeVar("T")


def known(value: T | None) -> T:
    assert value is not None
    return value
