"""A trial opens and runs a bundle in a process of its own: what it refuses, why, and what stays unharmed."""

import math
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tailfuse_service.bundle import BundleError, hash_manifest, read_manifest
from tailfuse_service.cgroups import find_free_memory
from tailfuse_service.errors import NotReady
from tailfuse_service.trial import trial as module
from tailfuse_service.trial.memory import compute_budget
from tailfuse_service.trial.trial import Trial, explain_end

from tests.support.bundles import write_tiny_bundle
from tests.support.hostile_bundles import endless_graph, greedy_graph, write_torchscript_bundle
from tests.support.process import until

TIMEOUT_S = 120.0  # for what must not run out of it
SHORT_S = 3.0  # for what would run for ever


def run_trial(folder: Path, *, timeout_s: float = TIMEOUT_S, torchscript: bool = False) -> None:
    trial = Trial("torchscript" if torchscript else "onnx", 1, timeout_s)
    trial(folder, read_manifest(folder), threading.Event())


def find_problem(folder: Path, *, timeout_s: float = TIMEOUT_S, torchscript: bool = False) -> str:
    """Return why a trial refuses a bundle."""
    with pytest.raises(BundleError) as refusal:
        run_trial(folder, timeout_s=timeout_s, torchscript=torchscript)
    return refusal.value.detail


def test_a_good_bundle_passes_and_the_log_says_what_held(
    tiny_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tailfuse")
    before = sorted((file.name, file.stat().st_mtime_ns) for file in tiny_bundle.iterdir())
    run_trial(tiny_bundle)
    (line,) = caplog.records
    said = vars(line)
    assert (said["message"], said["model"], said["version"]) == ("bundle tried", "skin-lesions", "3")
    assert "file size" in said["confined_by"]
    assert line.levelname == ("WARNING" if said["still_open"] else "INFO")
    assert sorted((file.name, file.stat().st_mtime_ns) for file in tiny_bundle.iterdir()) == before


def test_what_is_not_confined_is_warned_of(caplog: pytest.LogCaptureFixture, tiny_bundle: Path) -> None:
    module.log_trial(read_manifest(tiny_bundle), 0.5, {"layers": ["file size"], "still_open": ["network"]})
    (line,) = caplog.records
    assert (line.levelname, line.message) == ("WARNING", "bundle tried without full confinement")
    assert vars(line)["still_open"] == ["network"]


def test_a_graph_with_an_endless_loop_is_refused_after_the_timeout(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "endless", endless_graph())
    said = find_problem(folder, timeout_s=SHORT_S)
    assert said == "its trial did not end within 3 s (--trial-timeout-s)"


def test_time_without_a_processor_does_not_count(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match="did not end within 1e-06 s"):
        run_trial(tiny_bundle, timeout_s=1e-6)
    monkeypatch.setattr(module, "MAX_WAITED", math.inf)
    monkeypatch.setattr(module, "read_waited_s", lambda pid: math.inf)
    run_trial(tiny_bundle, timeout_s=1e-6)


def test_waiting_for_a_processor_ends_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_waited_s", lambda pid: math.inf)
    folder = write_tiny_bundle(tmp_path / "endless", endless_graph())
    assert find_problem(folder, timeout_s=0.5) == "its trial did not end within 0.5 s (--trial-timeout-s)"


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not say")
def test_the_wait_for_a_processor_is_known() -> None:
    """Of two endless loops on one core, each waits while the other runs."""
    core = min(os.sched_getaffinity(0))
    loop = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    loops = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(2)]
    try:
        until(lambda: all(module.read_waited_s(each.pid) > 0.2 for each in loops), "both have waited")
    finally:
        for each in loops:
            each.kill()
            each.wait()
    assert module.read_waited_s(loops[0].pid) == 0  # it is gone


@pytest.mark.slow
def test_a_graph_that_allocates_without_end_is_refused_by_the_limit_of_memory(tmp_path: Path) -> None:
    said = find_problem(write_tiny_bundle(tmp_path / "greedy", greedy_graph()))
    assert said.startswith("its trial may take ")
    assert "MiB of memory; the graph does not run: " in said


def test_memory_that_no_limit_stops_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_bundle(tmp_path / "endless", endless_graph())
    monkeypatch.setattr("tailfuse_service.trial.memory.read_resident", lambda pid: 2**50)
    assert "its trial took more than" in find_problem(folder)


def test_a_trial_ends_when_requests_need_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_bundle(tmp_path / "endless", endless_graph())
    free = iter([2**32, 2**32, 2**30, 2**28])  # twice at its beginning
    monkeypatch.setattr("tailfuse_service.trial.memory.find_free_memory", lambda: iter([next(free)]))
    assert find_problem(folder) == "memory ran short during its trial: 256 MiB are left"


def test_a_bundle_of_wrong_content_is_refused_as_before(tmp_path: Path) -> None:
    said = find_problem(write_tiny_bundle(tmp_path / "wrong", b"no graph"))
    assert said.startswith("model.onnx cannot be loaded: ")


def test_a_manifest_that_was_replaced_before_the_child_read_it_is_refused(
    tiny_bundle: Path, next_bundle: Path
) -> None:
    with pytest.raises(BundleError, match="its manifest was replaced"):
        Trial("onnx", 1, TIMEOUT_S)(tiny_bundle, read_manifest(next_bundle), threading.Event())


def test_a_stop_ends_a_trial(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "endless", endless_graph())
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(NotReady):
        Trial("onnx", 1, TIMEOUT_S)(folder, read_manifest(folder), stopping)


def test_a_child_that_cannot_be_started_is_one_sentence(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert find_problem(tiny_bundle) == "its trial cannot begin: No such file or directory"


@pytest.mark.parametrize(("code", "printed", "said"), [
    (-signal.SIGSEGV, b"", "its trial ended with SIGSEGV"),
    (-signal.SIGABRT, b"terminate called\n  what(): bad\n", "its trial ended with SIGABRT:   what(): bad"),
    (-signal.SIGKILL, b"", "its trial ended with SIGKILL; memory may have run out"),
    (-signal.SIGXCPU, b"", "its trial took more than 70 s of processor time"),
    (1, b"ModuleNotFoundError: no numpy\n\xff", "its trial ended with exit code 1: "),
    (0, b"", "its trial ended with exit code 0"),  # without a result
])  # fmt: skip
def test_each_end_has_its_sentence(code: int, printed: bytes, said: str) -> None:
    problem = explain_end(code, {"layers": []}, printed, 70)
    assert problem is not None
    assert problem.startswith(said)


def test_a_child_ends_when_the_service_is_killed(tmp_path: Path) -> None:
    """The service's place is taken by a process that starts a trial without end, and is killed."""
    folder = write_tiny_bundle(tmp_path / "endless", endless_graph())
    manifest = hash_manifest(read_manifest(folder))
    order = ["Order", repr((str(folder), manifest, "onnx", 1, 600))[:-1]]
    script = (
        "import os, time\nfrom tailfuse_service.trial.trial import Order, start_child\n"
        f"child = start_child({''.join(order)}, os.getpid()))\nprint(child.pid, flush=True)\n"
        "child.stdout.readline()\nprint(child.stdout.readline(), flush=True)\ntime.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert b"memory_bytes" in parent.stdout.readline()  # it opens the bundle, and reports no more
    watched = os.pidfd_open(child)
    parent.kill()
    parent.communicate()
    with os.fdopen(watched):
        assert select.select([watched], [], [], TIMEOUT_S)[0]


def test_the_budget_grows_with_the_files_and_stays_within_what_is_free(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_bytes = sum(file.stat().st_size for file in tiny_bundle.iterdir())
    monkeypatch.setattr("tailfuse_service.trial.memory.find_free_memory", lambda: iter([2**40]))
    assert compute_budget(tiny_bundle) == 2 * 2**30 + 8 * n_bytes
    monkeypatch.setattr("tailfuse_service.trial.memory.find_free_memory", lambda: iter([2**40, 2**29]))
    assert compute_budget(tiny_bundle) == 0.75 * 2**29
    monkeypatch.setattr("tailfuse_service.trial.memory.find_free_memory", lambda: iter([]))
    assert compute_budget(tiny_bundle) == 2 * 2**30 + 8 * n_bytes


CGROUPS: dict[str, tuple[dict[str, str], list[int]]] = {
    "none": ({}, []),
    "version 2": (
        {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 500\ninactive_file 100\n"},
        [400],
    ),
    "without a limit": ({"memory.max": "max\n", "memory.current": "700\n"}, []),
    "without statistics": ({"memory.max": "1000\n", "memory.current": "700\n"}, [300]),
    "over its limit": ({"memory.max": "1000\n", "memory.current": "1200\n"}, [0]),
    "of a service and around it": (
        {
            "system.slice/a.service/memory.max": "1000\n", "system.slice/a.service/memory.current": "1\n",
            "system.slice/memory.max": "500\n", "system.slice/memory.current": "2\n",
        },
        [999, 498],
    ),
    "version 1": (
        {"memory/memory.limit_in_bytes": "1000\n", "memory/memory.usage_in_bytes": "600\n"},
        [400],
    ),
    "version 1, nested": (
        {
            "memory/docker/b/memory.limit_in_bytes": "1000\n",
            "memory/docker/b/memory.usage_in_bytes": "600\n",
            "memory/docker/b/memory.stat": "total_inactive_file 50\ninactive_file 7\n",
        },
        [450],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "free"), CGROUPS.values(), ids=CGROUPS)
def test_free_memory_is_the_machine_s_and_the_container_s(
    tmp_path: Path, files: dict[str, str], free: list[int]
) -> None:
    proc, mounted = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    for name, content in files.items():
        (mounted / name).parent.mkdir(parents=True, exist_ok=True)
        (mounted / name).write_text(content)
    (proc / "meminfo").write_text("MemTotal: 64 kB\nMemAvailable:  32 kB\nHugePages_Total: 0\n")
    (proc / "self" / "cgroup").write_text("4:memory:/docker/b\n0::/system.slice/a.service\n")
    assert list(find_free_memory(proc, mounted)) == [32 * 1024, *free]


# --- TorchScript ---


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle with a graph of tests/support/hostile_torchscript.py."""
    pytest.importorskip("torch")
    import tests.support.hostile_torchscript as graphs

    def write_graph(name: str, *arguments: str) -> Path:
        return write_torchscript_bundle(tmp_path / "bundle", getattr(graphs, name)(*arguments))

    return write_graph


@pytest.mark.slow
@pytest.mark.parametrize("graph", ["Writer", "EarlyWriter"])
def test_a_torchscript_graph_that_writes_a_file_leaves_none(
    write: Callable[..., Path], tmp_path: Path, graph: str
) -> None:
    said = find_problem(write(graph, str(tmp_path / "written")), torchscript=True)
    assert said.startswith("its trial may neither write files nor use a network; ")
    assert "Operation not permitted" in said
    assert [file.name for file in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.slow
def test_a_graph_cannot_write_its_own_report_nor_stop_at_a_full_pipe(write: Callable[..., Path]) -> None:
    assert find_problem(write("Printer"), torchscript=True) == "the graph's classes are not the manifest's"


@pytest.mark.slow
def test_a_torchscript_graph_that_allocates_bit_by_bit_is_refused(write: Callable[..., Path]) -> None:
    assert "its trial may take" in find_problem(write("Greedy"), torchscript=True)
