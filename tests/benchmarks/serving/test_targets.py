"""What the bench of the service says about what it has measured."""

from typing import Any

import pytest
from serving_bench.load import Figures
from serving_bench.raw import Raw
from serving_bench.results import Load, Results, Target
from serving_bench.servers import AGAIN, FLOOR, OURS
from serving_bench.table import format_results
from serving_bench.targets import evaluate_targets
from serving_bench.workloads import Workload


def figures(cpu_us: float, **others: Any) -> Figures:
    return Figures(
        **{
            "per_s": 9.0,
            "p50_ms": 1.0,
            "p99_ms": 2.0,
            "busy": 1.0,
            "rss_mib": 90.0,
            "pss_mib": 80.0,
            "errors": 0,
        }
        | others,
        cpu_us=cpu_us,
    )


def about(targets: list[Target], words: str) -> Target:
    return next(aim for aim in targets if words in aim.title)


def test_an_aim_is_reached_or_missed_or_not_measured(workloads: dict[str, Workload]) -> None:
    results = Results(
        {"workloads": ["tabular", "image+tabular"]},
        versions=dict.fromkeys((OURS, "mosec", FLOOR, AGAIN), "1"),
    )
    for name, cpu_us in ((OURS, 40.0), ("mosec", 100.0), (FLOOR, 5.0), (AGAIN, 42.0)):
        results.figures[Load("tabular", 64, name)] += [figures(cpu_us), figures(3 * cpu_us), figures(cpu_us)]
        results.ready_s[name] += [2.0]
    results.figures[Load("tabular", 1, OURS)] += [figures(50.0, p50_ms=0.4)]
    results.raw["tabular"] += [Raw(run_us=3, decode_us=0, pillow_us=0, in_process_us=100)]
    targets = evaluate_targets(results)
    assert about(targets, "tabular, over mosec's").value == pytest.approx(0.4)
    assert about(targets, "tabular, over mosec's").reached is True
    assert about(targets, "1024x768").reached is None
    assert about(targets, "p99 over p50").reached is True
    assert about(targets, "ready").reached is False
    assert about(targets, "one connection, tabular").limit == pytest.approx(0.5)
    assert about(targets, "one connection, image+tabular").reached is None
    text = format_results(results, workloads, targets)
    assert "| **missed**" in text
    assert "| not measured" in text
    assert "twice differs by up to 5.0%" in text
    row = next(line for line in text.splitlines() if line.startswith("| 64 ") and " mosec " in line)
    assert [cell.strip() for cell in row.split("|")][6:8] == ["100", "95"]


def test_a_row_with_errors_is_marked(workloads: dict[str, Workload]) -> None:
    results = Results({"workloads": ["tabular"]}, left_out={"litserve": "it is not there"})
    results.figures[Load("tabular", 64, OURS)] += [figures(40.0, errors=0), figures(40.0, errors=3)]
    results.ready_s[OURS], results.versions[OURS] = [1.0], "1"
    text = format_results(results, workloads, evaluate_targets(results))
    assert "twice" not in text
    assert "| **3**" in text
    assert "- litserve: it is not there" in text


def test_nothing_is_reached_when_nothing_was_measured() -> None:
    targets = evaluate_targets(Results({"workloads": ["tabular"]}))
    assert {aim.reached for aim in targets} == {None}
