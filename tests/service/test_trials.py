"""One trial for all workers: what they share, and what is tried again. No child process; no time passes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from tailfuse_service.bundle import BundleError, Manifest, read_manifest
from tailfuse_service.errors import NotReady
from tailfuse_service.metrics import make_file
from tailfuse_service.trial import trials as module
from tailfuse_service.trial.trials import MAX_RESULTS, Trials


class FakeTrial:
    """Counts trials, and refuses what it is told to."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.problem: str | None = None

    def __call__(self, folder: Path, manifest: Manifest, stopping: threading.Event) -> None:
        self.tried.append(manifest.version)
        if self.problem is not None:
            raise BundleError(self.problem)


@pytest.fixture
def trial() -> FakeTrial:
    return FakeTrial()


@pytest.fixture
def file() -> Iterator[int]:
    made = make_file(0)
    yield made
    os.close(made)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr("tailfuse_service.trial.trials.time.monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def refuse(trials: Trials, folder: Path) -> None:
    with pytest.raises(BundleError, match="too bad"):
        trials.try_bundle(folder, read_manifest(folder))


def test_a_bundle_is_tried_once_by_one_service(
    tiny_bundle: Path, next_bundle: Path, trial: FakeTrial
) -> None:
    trials = Trials(trial)
    for folder in (tiny_bundle, next_bundle, tiny_bundle):
        trials.try_bundle(folder, read_manifest(folder))
    assert trial.tried == ["3", "4"]


def test_what_one_worker_has_tried_the_others_open_without(
    tiny_bundle: Path, trial: FakeTrial, file: int
) -> None:
    for _ in range(3):
        Trials(trial, file).try_bundle(tiny_bundle, read_manifest(tiny_bundle))
    assert trial.tried == ["3"]


def test_a_refusal_is_one_for_all_workers_and_tried_again_later(
    tiny_bundle: Path, trial: FakeTrial, file: int, clock: Callable[[float], None]
) -> None:
    trial.problem = "too bad"
    for _ in range(3):
        refuse(Trials(trial, file), tiny_bundle)
    assert trial.tried == ["3"]
    clock(module.REFUSED_S + 1)
    trial.problem = None
    Trials(trial, file).try_bundle(tiny_bundle, read_manifest(tiny_bundle))
    assert trial.tried == ["3", "3"]


def test_a_service_of_one_process_tries_again_what_it_refused(tiny_bundle: Path, trial: FakeTrial) -> None:
    trials = Trials(trial)
    trial.problem = "too bad"
    refuse(trials, tiny_bundle)
    trial.problem = None
    trials.try_bundle(tiny_bundle, read_manifest(tiny_bundle))
    assert trial.tried == ["3", "3"]


def test_the_first_bundle_of_all_workers_is_trusted_and_no_other(
    tiny_bundle: Path, next_bundle: Path, trial: FakeTrial, file: int
) -> None:
    for _ in range(2):  # two workers
        Trials(trial, file).try_unless_first(tiny_bundle, read_manifest(tiny_bundle))
    assert trial.tried == []
    # A worker starts anew, and finds another bundle in its place.
    Trials(trial, file).try_unless_first(next_bundle, read_manifest(next_bundle))
    assert trial.tried == ["4"]


def test_one_process_at_a_time_has_the_lock(trial: FakeTrial, file: int) -> None:
    """A process has one lock, whichever of its objects asks for it."""
    script = "import os, sys\nos.lockf(int(sys.argv[1]), os.F_LOCK, 0)\nprint(1, flush=True)\ninput()"
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=PIPE, stdout=PIPE, pass_fds=[file]
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"1\n"
    assert not Trials._take_lock(file)
    other.communicate(b"\n")
    assert Trials._take_lock(file)


def test_results_do_not_grow_without_end(tiny_bundle: Path, trial: FakeTrial, file: int) -> None:
    trials, manifest = Trials(trial, file), read_manifest(tiny_bundle)
    for number in range(MAX_RESULTS + 10):
        trials.try_bundle(tiny_bundle, manifest.model_copy(update={"version": str(number)}))
    n_bytes = os.fstat(file).st_size
    trials.try_bundle(tiny_bundle, manifest.model_copy(update={"version": "last"}))
    assert os.fstat(file).st_size <= n_bytes + 8
    trials.try_bundle(tiny_bundle, manifest.model_copy(update={"version": str(MAX_RESULTS)}))
    assert len(trial.tried) == MAX_RESULTS + 11


def test_a_worker_waits_for_the_one_that_tries_and_not_when_it_stops(
    tiny_bundle: Path, trial: FakeTrial, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [False, False, True]
    monkeypatch.setattr(Trials, "_take_lock", staticmethod(lambda _: taken.pop(0)))
    Trials(trial, file).try_bundle(tiny_bundle, read_manifest(tiny_bundle))
    assert trial.tried == ["3"]
    assert taken == []
    monkeypatch.setattr(Trials, "_take_lock", staticmethod(lambda _: False))
    stopped = Trials(trial, file)
    stopped.stopping.set()
    with pytest.raises(NotReady):
        stopped.try_bundle(tiny_bundle, read_manifest(tiny_bundle))
