"""A real service tries a new bundle before it opens it: what a bad one does stays in its trial."""

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import write_tiny_bundle
from tests.support.deployment import Deployment, predict
from tests.support.hostile_bundles import endless_graph, greedy_graph
from tests.support.process import TIMEOUT_S, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are watched in /proc"),
]

LONG_S = str(10 * TIMEOUT_S)  # a test that waits for it fails


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose graph never answers."""
    return write_tiny_bundle(tmp_path_factory.mktemp("endless") / "bundle", endless_graph(), version="5")


def find_trials(deployment: Deployment) -> list[int]:
    """Return the process ids of the trials that run for a service or its workers."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            parents[entry.name] = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            commands[entry.name] = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it is no process, or has ended
            continue
    service = str(deployment.service.process.pid)
    own = {service} | {pid for pid, parent in parents.items() if parent == service}
    trials = [pid for pid, command in commands.items() if b"tailfuse_service.trial" in command]
    return [int(pid) for pid in trials if parents[pid] in own]


def read_peak_memory(deployment: Deployment) -> int:
    """Return the most bytes that the service ever had in memory."""
    status = Path(f"/proc/{deployment.service.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def answer(deployment: Deployment) -> str:
    """Return the version that answers now."""
    connection = deployment.connection()
    version: str = predict(connection)["model"]["version"]
    connection.close()
    return version


def refuse(deployment: Deployment, bundle: Path) -> dict[str, Any]:
    """Reload with a bad bundle. Return the line of its refusal."""
    before = len(deployment.refused())
    deployment.reload(bundle)
    until(lambda: len(deployment.refused()) > before, "it is refused")
    return deployment.refused()[-1]


def test_an_endless_graph_is_refused_and_the_next_reload_works(
    deploy: Callable[..., Deployment], tiny_bundle: Path, next_bundle: Path, endless: Path
) -> None:
    deployment = deploy(tiny_bundle, "--trial-timeout-s", "10")
    assert not deployment.lines("bundle tried")  # the first bundle is opened at once
    line = refuse(deployment, endless)
    assert line["reason"] == "its trial did not end within 10 s (--trial-timeout-s)"
    assert "exception" not in line
    assert answer(deployment) == "3"
    assert find_trials(deployment) == []
    deployment.reload(next_bundle)
    until(lambda: deployment.loaded(), "a good bundle is taken up")
    assert answer(deployment) == "4"
    assert deployment.service.stop() == 0


def test_a_graph_that_takes_all_memory_takes_none_of_the_service_s(
    deploy: Callable[..., Deployment], tiny_bundle: Path, tmp_path: Path
) -> None:
    deployment = deploy(tiny_bundle)
    before = read_peak_memory(deployment)
    line = refuse(deployment, write_tiny_bundle(tmp_path / "greedy", greedy_graph()))
    assert "of memory; the graph does not run" in line["reason"]
    assert read_peak_memory(deployment) < before + 64 * 1024**2
    assert answer(deployment) == "3"
    assert deployment.service.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_does_not_wait_for_a_trial(
    deploy: Callable[..., Deployment], tiny_bundle: Path, endless: Path, workers: int
) -> None:
    deployment = deploy(tiny_bundle, "--trial-timeout-s", LONG_S, "--workers", str(workers))
    deployment.reload(endless)
    until(lambda: find_trials(deployment), "a trial has begun")
    assert deployment.service.stop() == 0


def test_a_service_that_is_killed_leaves_no_trial_behind(
    deploy: Callable[..., Deployment], tiny_bundle: Path, endless: Path
) -> None:
    deployment = deploy(tiny_bundle, "--trial-timeout-s", LONG_S)
    deployment.reload(endless)
    until(lambda: find_trials(deployment), "a trial has begun")
    [trial] = map(os.pidfd_open, find_trials(deployment))
    deployment.service.process.send_signal(signal.SIGKILL)
    deployment.service.process.wait()
    assert select.select([trial], [], [], TIMEOUT_S)[0]
    os.close(trial)


def test_of_a_folder_each_bundle_is_tried_at_the_start_and_a_bad_one_keeps_no_other_away(
    deploy: Callable[..., Deployment], tmp_path: Path
) -> None:
    folder = tmp_path / "bundles"
    folder.mkdir()
    write_tiny_bundle(folder / "a", greedy_graph())
    write_tiny_bundle(folder / "b", version="6")
    deployment = deploy(folder, "--workers", "2")
    until(lambda: len(deployment.lines("worker started")) == 2, "both workers answer")
    assert answer(deployment) == "6"
    assert len([line for line in deployment.lines("bundle tried") if line["version"] == "6"]) == 1
    assert deployment.service.stop() == 0
