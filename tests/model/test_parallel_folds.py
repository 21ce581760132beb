"""Folds in processes of their own end as those that are trained one after the other, to the bit."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from tailfuse.child_process import ChildProcess, start_child
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.network.build import build_network
from tailfuse.network.torch_state import torch_state
from tailfuse.spec.schedule import choose_schedule
from tailfuse.spec.schema import Spec, load_spec
from tailfuse.training import checkpoint, parallel_folds
from tailfuse.training.families import Stages
from tailfuse.training.fit import train_stages
from tailfuse.training.loop import Stage
from tailfuse.training.parallel_folds import MAX_BYTES, Job, count_processes, train_in_processes
from tailfuse.training.state import Epoch

SPEC = """\
name: leaves
table: table.csv
label: label
split: split
modalities:
  picture: {kind: image, column: picture, size: [10, 8], augment: true}
  veins: {kind: tabular, columns: [length, angle, side]}
network: {width: 8}
training: {epochs: 3, batch_size: 32, folds: 3}
"""

Told = list[tuple[str, int]]


@pytest.fixture(scope="module")
def spec(leaves_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Spec:
    return load_spec(leaves_in(tmp_path_factory.mktemp("folds"), SPEC))


@pytest.fixture(scope="module")
def dataset(spec: Spec) -> Dataset:
    return load_dataset(spec)


def train(spec: Spec, dataset: Dataset, folder: Path) -> tuple[Stages[Any], Told]:
    folder.mkdir()
    told: Told = []
    stages = train_stages(
        spec, dataset, folder=folder, on_epoch=lambda stage, epoch, _: told.append((stage.name, epoch.epoch))
    )
    return stages, told


@pytest.fixture(scope="module")
def one_by_one(spec: Spec, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Told]:
    return train(spec, dataset, tmp_path_factory.mktemp("one") / "run")


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> list[ChildProcess]:
    """Start two processes, however short the training is; the list gets them."""
    started: list[ChildProcess] = []

    def start(module: str, **how: Any) -> ChildProcess:
        started.append(start_child(module, **how))
        return started[-1]

    monkeypatch.setattr(parallel_folds, "cpu_count", lambda: 2)
    monkeypatch.setattr(parallel_folds, "MIN_SAVED_S", 0.0)
    monkeypatch.setattr(parallel_folds, "start_child", start)
    return started


def assert_equal(one: Stages[Any], other: Stages[Any]) -> None:
    networks = [one.network, *(network for network, _ in one.folds)]
    others = [other.network, *(network for network, _ in other.folds)]
    assert len(networks) == len(others) == 4
    for network, same in zip(networks, others, strict=True):
        weights, expected = network.state_dict(), same.state_dict()
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], expected[name]) for name in weights)
    for (_, held), (_, expected) in zip(one.folds, other.folds, strict=True):
        assert held.rows is not None
        assert expected.rows is not None
        assert held.rows.tolist() == expected.rows.tolist()


@pytest.mark.slow
def test_the_networks_are_those_of_one_process(
    spec: Spec, dataset: Dataset, one_by_one: Any, two_cores: list[ChildProcess], tmp_path: Path
) -> None:
    stages, told = train(spec, dataset, tmp_path / "run")
    assert_equal(stages, one_by_one[0])
    assert sorted(told) == sorted(one_by_one[1])  # each epoch once
    assert len(two_cores) == 2
    assert all(child.process.poll() is not None for child in two_cores)


@pytest.mark.slow
@pytest.mark.parametrize("n_killed", [1, 2])
def test_a_process_that_dies_costs_time_only(
    spec: Spec, dataset: Dataset, one_by_one: Any, two_cores: list[ChildProcess], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, n_killed: int,
) -> None:  # fmt: skip
    def start_and_kill(module: str, **how: Any) -> ChildProcess:
        child = start_child(module, **how)
        two_cores.append(child)
        if len(two_cores) <= n_killed:
            os.kill(child.process.pid, signal.SIGKILL)
        return child

    monkeypatch.setattr(parallel_folds, "start_child", start_and_kill)
    stages, told = train(spec, dataset, tmp_path / "run")
    assert_equal(stages, one_by_one[0])
    assert sorted(told) == sorted(one_by_one[1])


def make_job(spec: Spec, dataset: Dataset, path: Path, learning_rate: float) -> Job:
    schedule = choose_schedule(spec.training, len(dataset.train))
    stage = Stage("fold-0", 1, dataset.train, None, 3, schedule, {})
    training = spec.training.model_copy(update={"learning_rate": learning_rate})
    return Job(build_network(spec, dataset), stage, training, path)


@pytest.mark.slow
def test_a_fold_that_cannot_be_trained_is_left_to_the_caller_without_a_word(
    spec: Spec, dataset: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The caller meets the same error when it trains the fold, and tells of it."""
    jobs = [make_job(spec, dataset, tmp_path / f"{at}.pt", rate) for at, rate in enumerate((1e30, 0.001))]
    epochs: list[Epoch] = []
    train_in_processes(jobs, 2, lambda _, epoch: epochs.append(epoch))
    assert capfd.readouterr() == ("", "")
    assert [epoch.epoch for epoch in epochs if np.isfinite(epoch.loss)][-3:] == [0, 1, 2]
    saved = checkpoint.load(tmp_path / "1.pt")
    assert saved is not None
    assert saved["finished"]
    assert not (tmp_path / "0.pt").exists()


def make_rows(n_bytes: int) -> SplitArrays:
    rows = np.broadcast_to(np.zeros(1, np.uint8), (n_bytes, 1))
    return SplitArrays({"image": rows}, {"image": np.zeros(1, np.int64)}, np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("cores", "threads", "n_bytes", "n_folds", "fold_s", "expected"),
    [
        (4, 1, 100, 4, 60.0, 4),
        (2, 1, 100, 4, 60.0, 2),
        (8, 1, 100, 4, 60.0, 4),
        (3, 1, 100, 4, 6.0, 3),  # two rounds of folds in place of four save 12 s
        (2, 1, 100, 4, 4.0, 0),
        (1, 1, 100, 4, 60.0, 0),
        (4, 2, 100, 4, 60.0, 0),  # its threads use the cores
        (4, 1, MAX_BYTES + 1, 4, 60.0, 0),
        (4, 1, 100, 0, 60.0, 0),
        (4, 1, 100, 1, 60.0, 0),
    ],
)
def test_processes_are_started_where_they_save_time(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, n_bytes: int, n_folds: int, fold_s: float,
    expected: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(parallel_folds, "cpu_count", lambda: cores)
    fabric = Fabric(accelerator="cpu", devices=1)
    with torch_state(deterministic=False, threads=threads):
        assert count_processes(fabric, make_rows(n_bytes), n_folds, fold_s) == expected


def test_a_process_that_dies_before_it_has_read_its_job_is_found_out_by_receive() -> None:
    child = start_child("tailfuse.training.fold_worker", is_heard=False)
    os.kill(child.process.pid, signal.SIGSTOP)  # it reads nothing
    threading.Timer(0.2, lambda: os.kill(child.process.pid, signal.SIGKILL)).start()
    child.send(bytes(2**24))  # more than the socket holds: it waits for the process
    child.send("another")
    assert child.receive() is None
    child.kill()
