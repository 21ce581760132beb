"""docs/CAPACITY.md says what the committed benchmark measured, and calculates rightly with it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "CAPACITY.md").read_text()
RESULTS = (ROOT / "benchmarks" / "serving_bench" / "RESULTS.md").read_text()
ROWS = re.findall(r"^\| .+? \| `(\S+)` \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)


def read_measured(workload: str, connections: int) -> list[str]:
    """Return the cells of the service's row of a workload."""
    [section] = re.findall(rf"^### {re.escape(workload)}: (.*?)(?=^###)", RESULTS, re.MULTILINE | re.DOTALL)
    [row] = re.findall(rf"^\| {connections} +\| tailfuse \| (.*) \|$", section, re.MULTILINE)
    return [cell.strip() for cell in row.split("|")]


@pytest.mark.parametrize(("workload", "per_second", "cpu", "core_hours"), ROWS)
def test_a_row_is_what_was_measured(workload: str, per_second: str, cpu: str, core_hours: str) -> None:
    measured = read_measured(workload, 64)
    assert (measured[0], measured[3]) == (per_second, cpu)
    assert core_hours == f"{int(cpu.replace(',', '')) / 3600:.3f}"


def test_every_workload_with_its_own_cost_is_there() -> None:
    assert len(ROWS) == 6


def test_memory_is_what_was_measured() -> None:
    assert [read_measured(*of)[5] for of in (("tabular", 64), ("large", 256), ("batch", 256))] == re.findall(
        r"^\| (?:one worker|the same after).*\| (\d+) \|$", PAGE, re.MULTILINE
    )


def test_examples_are_calculated_from_the_table() -> None:
    costs = {workload: int(cpu.replace(",", "")) for workload, _, cpu, _ in ROWS}
    assert f"131 / 3600 / 0.7 = {costs['image+tabular'] / 3600 / 0.7:.3f} core-hours" in PAGE
    assert f"20,000 × 0.000131 / 0.7 = {20_000 * costs['image+tabular'] * 1e-6 / 0.7:.1f}" in PAGE
    assert f"{costs['batch'] / 32:.0f} µs each" in PAGE
    in_flight = [read_measured("image+tabular", connections)[0] for connections in (16, 64)]
    assert f"({in_flight[0]} and {in_flight[1]} per second" in PAGE
