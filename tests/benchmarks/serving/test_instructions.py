"""Counts of instructions: read from callgrind's files, and shown by stage and library."""

from serving_bench.instructions import REST, format_counts, read_counts
from serving_bench.stages import STAGES, WHOLE

# The costs of a call are those of the called function's own lines. A name stands where it comes first.
CALLGRIND = """\
version: 1
events: Ir
fn=(1) 0x0000000000001000
ob=(1) /usr/lib/libpython3.11.so.1.0
10 100
+1 20
cob=(2) /site/orjson/orjson.cpython-311-x86_64-linux-gnu.so
cfn=(2) loads
calls=3 5
* 700

ob=(2)
fn=(2)
5 600
-2 100

ob=(3) /site/somewhere/other.so
fn=(3) f
1 7
ob=(1)
fn=(1)
* 5
totals: 832
"""


def test_costs_count_once_for_the_library_that_they_were_spent_in() -> None:
    counts = read_counts(CALLGRIND)
    assert counts == {"Python": 125, "orjson": 700, "other": 7}
    assert sum(counts.values()) == 832


def test_what_no_stage_has_is_a_row_of_its_own() -> None:
    stages = {name: {"Python": 1000, "orjson": 500} for name in STAGES}
    stages[WHOLE] = {"Python": 10_000, "orjson": 3500, "rare": 10}
    lines = format_counts(stages).splitlines()
    assert lines[0] == "| | all | Python | orjson |"
    assert lines[2] == f"| {STAGES[0]} | 1.5 | 1.0 | 0.5 |"
    assert lines[-2] == f"| {REST} | 3.0 | 3.0 | 0.0 |"
    assert lines[-1] == f"| {WHOLE} | 13.5 | 10.0 | 3.5 |"
