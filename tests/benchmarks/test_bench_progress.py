"""What a bench prints of how far it is."""

import pytest
from tailfuse_bench.progress import format_minutes


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "0 s"), (29.4, "29 s"), (31, "1 min"), (200, "3 min"), (3900, "1 h 05 min"), (3599, "1 h 00 min")],
)
def test_times_are_rounded_to_what_is_read(seconds: float, said: str) -> None:
    assert format_minutes(seconds) == said
