"""The memory that a sample takes while it waits for a shadow."""

import sys
from typing import Any

import pytest
from tailfuse_service.inference.shadow import estimate_size


def measure_memory(value: Any) -> int:
    """What a value and all values in it take, each by itself."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sys.getsizeof(value) + sum(map(measure_memory, parts))


@pytest.mark.parametrize(
    "value",
    [
        "x" * 300_000, "\N{PILE OF POO}" * 300_000, b"x" * 300_000, bytearray(300_000), 2**62,
        [50, 70, True, "x" * 300_000], ["", *["x" * 1000] * 100], [None, [1, "x" * 300_000], {}],
        {"age": 50, "site": "x" * 300_000}, {"a": ["x", "y" * 1000], "b": None},
        [1.5] * 10_000, [[1.5, 2**62, None]] * 10_000, [[["x" * 1000]], [[1.0]]], [], [[]], {},
    ],
    ids=lambda value: f"{value!a:.40}",
)  # fmt: skip
def test_a_size_is_that_of_all_that_is_kept(value: Any) -> None:
    expected = measure_memory(value)
    assert expected <= estimate_size(value) <= 1.5 * expected + 16
