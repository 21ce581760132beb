"""What two workers answer beside one."""

from pathlib import Path

import pytest
from serving_bench import workers
from serving_bench.load import Figures
from serving_bench.process import list_process_tree
from serving_bench.servers import post
from serving_bench.workers import CASES, measure_case, summarize_case
from serving_bench.workloads import Workload


def make_figures(per_s: float, cpu_us: float, errors: int = 0) -> Figures:
    return Figures(per_s, 1.0, 2.0, cpu_us, 1.0, 100.0, 100.0, errors)


def test_two_whole_cores_answer_twice_by_the_cost_of_an_answer() -> None:
    alone = [(make_figures(100, 100.0), 1.0)] * 3
    two = [(make_figures(170, 125.0, errors=1), share) for share in (0.5, 0.6, 0.9)]
    assert summarize_case(alone, alone)["two_cores"] == 2
    assert summarize_case(two, alone) == {
        "per_s": 170, "cpu_us": 125.0, "p99_ms": 2.0, "two_cores": 1.6, "busier_worker": 0.6, "errors": 3,
    }  # fmt: skip


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_all_workers_of_a_case_are_ready_when_the_load_begins(
    name: str,
    workloads: dict[str, Workload],
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case, workload, loads = CASES[name], workloads["tabular"], []

    def ask_each_once(pid: int, port: int, requests: Path, *, seconds: int, **_: int) -> Figures:
        assert len(list_process_tree(pid)) >= case.workers
        statuses = [post(port, "/predict", each)[0] for each in case.server.requests(workload)]
        assert statuses == [200] * len(workload.requests)
        loads.append(requests.read_bytes().count(b"POST /predict"))
        return make_figures(len(statuses), 100.0)

    monkeypatch.setattr(workers, "apply_load", ask_each_once)
    figures, share = measure_case(case, tiny_bundle, workload, tmp_path)
    assert loads == [len(workload.requests)] * 2  # a warm-up and a load
    assert figures.per_s == len(workload.requests)
    assert 0 <= share <= 1
