"""The training loop: the rate, early stopping, checkpoints, and going on from them."""

import copy
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from tailfuse.errors import RunError
from tailfuse.modalities.image.augmentation import augment
from tailfuse.network.build import build_network
from tailfuse.network.network import Answer
from tailfuse.spec.schedule import choose_schedule
from tailfuse.training import checkpoint, loop
from tailfuse.training.loop import (
    Stage,
    compute_learning_rate,
    count_best_epochs,
    fit_network,
    make_generator,
)
from tailfuse.training.state import Epoch
from tailfuse.training.validate import validate
from torch import nn

from tests.support.known import known


def test_the_rate_warms_up_and_falls_to_nearly_nothing() -> None:
    rates = [compute_learning_rate(1.0, 10, epoch) for epoch in range(10)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[1] == pytest.approx(0.4 * (1 + math.cos(math.pi / 10)) / 2)
    assert rates[5] == pytest.approx(0.5)
    assert rates[9] == pytest.approx((1 + math.cos(math.pi * 0.9)) / 2)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_a_run_of_one_epoch_has_a_rate() -> None:
    assert compute_learning_rate(0.5, 1, 0) == pytest.approx(0.5)


def test_the_best_epoch_is_that_of_the_smallest_validation_loss() -> None:
    losses = [3.0, 1.0, 2.0, 1.0]
    assert (
        count_best_epochs([Epoch(i, 0.0, loss, 0.0, 0.0) for i, loss in enumerate(losses)]) == 4
    )  # the later one


def test_a_generator_depends_on_every_number() -> None:
    drawn = {
        tuple(torch.rand(2, generator=make_generator(*numbers)).tolist())
        for numbers in [(1,), (1, 1), (1, 2), (2, 1), (1, 1, 1)]
    }
    assert len(drawn) == 5


class Says(nn.Module):
    """Answers every row with the same probabilities."""

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.probabilities = torch.tensor(probabilities)
        self.modalities: list[str] = []
        self.ranks = None

    def forward(self, inputs: Any, rows: Any, presence: Any) -> Answer:
        return Answer(self.probabilities.expand(len(presence), -1), presence.float(), presence.float())


def test_validation_counts_classes_alike(lesions: Any) -> None:
    val = lesions.load().val  # 3 nv, 2 mel, 1 df; the classes are df, mel, nv
    assert np.bincount(val.labels).tolist() == [1, 2, 3]
    even, accuracy = validate(Says(1 / 3, 1 / 3, 1 / 3), val, torch.device("cpu"))
    assert even == pytest.approx(math.log(3), abs=1e-3)
    assert validate(Says(0.2, 0.2, 0.6), val, torch.device("cpu"))[1] == accuracy == pytest.approx(1 / 3)


def test_validation_does_not_mind_how_sure_a_network_is(lesions: Any) -> None:
    val = lesions.load().val.take(np.array([0, 1, 2]))
    loss, _ = validate(Says(0.2, 0.2, 0.6), val, torch.device("cpu"))
    surer, _ = validate(Says(1 / 29, 1 / 29, 27 / 29), val, torch.device("cpu"))
    assert surer == pytest.approx(loss, abs=0.01)


def test_a_class_ruled_out_costs_something_finite(lesions: Any) -> None:
    loss, _ = validate(Says(0.5, 0.5, 0.0), lesions.load().val, torch.device("cpu"))
    assert math.log(3) < loss < 20


@pytest.fixture
def fit(lesions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains a small network in `tmp_path`; `heard` gets every epoch."""
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1.0)
    spec = load(lesions)
    dataset = lesions.load()

    def run(
        path: Path,
        heard: Any = lambda stage, epoch: None,
        val: Any = dataset.val,
        last_change: Any = 0.0,
        **training: Any,
    ) -> Any:
        settings = spec.training.model_copy(update=training)
        torch.manual_seed(0)
        network = build_network(spec, dataset)
        network.loss_fn = network.loss_fn._replace(last_change=last_change)
        schedule = choose_schedule(settings, len(dataset.train))
        stage = Stage("final", 5, dataset.train, val, schedule.epochs, schedule, {"image": augment})
        fabric = Fabric(accelerator="cpu", devices=1)
        fabric.launch()
        return network, fit_network(fabric, network, stage, settings, path, heard)

    return run


def load(lesions: Any) -> Any:
    from tailfuse.spec.schema import load_spec

    return load_spec(lesions.write(), ["network.width=8", "training.epochs=6", "training.batch_size=5"])


def get_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(network.state_dict())


def test_training_stops_when_validation_has_not_improved_for_long_enough(
    fit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.5, 2.0, 2.4, 2.3, 2.2, 1.0])
    seen = []

    def canned(network: Any, val: Any, device: Any) -> Any:
        seen.append(get_weights(network))
        return next(losses), 0.5

    monkeypatch.setattr(loop, "validate", canned)
    network, log = fit(tmp_path / "a.pt", epochs=8, patience=3)
    assert [line.val_loss for line in log] == [3.0, 2.0, 2.5, 2.0, 2.4, 2.3, 2.2]
    assert count_best_epochs(log) == 4
    assert all(torch.equal(value, seen[3][name]) for name, value in network.state_dict().items())
    assert not network.training


def test_a_loss_that_changes_late_is_waited_for(
    fit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0] + [2.0] * 9)
    monkeypatch.setattr(loop, "validate", lambda network, val, device: (next(losses), 0.5))
    _, log = fit(tmp_path / "a.pt", epochs=10, patience=2, last_change=0.5)
    assert len(log) == 7


def test_without_validation_rows_the_last_average_is_kept(fit: Any, tmp_path: Path) -> None:
    network, log = fit(tmp_path / "a.pt", val=None)
    assert len(log) == 6
    assert all(math.isnan(line.val_loss) for line in log)
    state = known(checkpoint.load(tmp_path / "a.pt"))
    assert all(torch.equal(value, state["averaged"][name]) for name, value in network.state_dict().items())


def test_the_loss_falls(fit: Any, tmp_path: Path) -> None:
    _, log = fit(tmp_path / "a.pt", epochs=60, patience=60, mixup=0.0, modality_dropout=0.0)
    # A dozen rows under dropout: one epoch alone is noisy.
    first, last = (np.mean([line.loss for line in some]) for some in (log[:10], log[-10:]))
    assert last < 0.85 * first, (first, last)


@pytest.mark.parametrize("stopped_after", [0, 1, 4])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    fit: Any, tmp_path: Path, stopped_after: int
) -> None:
    def stop(stage: Stage, epoch: Epoch) -> None:
        if epoch.epoch == stopped_after:
            raise KeyboardInterrupt

    whole, whole_log = fit(tmp_path / "whole.pt")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped.pt", stop)
    heard = []
    resumed, log = fit(tmp_path / "stopped.pt", lambda stage, epoch: heard.append(epoch.epoch))
    assert log == whole_log
    assert heard == list(range(6))
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_a_stage_that_has_finished_is_not_trained_again(
    fit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, log = fit(tmp_path / "a.pt")
    monkeypatch.setattr(loop, "run_epoch", None)
    again, same_log = fit(tmp_path / "a.pt")
    assert same_log == log
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_a_loss_that_is_not_finite_ends_the_run(fit: Any, tmp_path: Path) -> None:
    with pytest.raises(
        RunError, match=r"^the loss of final is (nan|inf) in epoch \d; try a smaller training"
    ):
        fit(tmp_path / "a.pt", learning_rate=1e30)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no more", b"nothing of torch"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "final.pt"
    path.write_bytes(damage)
    with pytest.raises(
        RunError, match=r"final\.pt is damaged; delete it, and --resume trains this part again"
    ):
        checkpoint.load(path)


def test_half_a_checkpoint_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "final.pt"
    checkpoint.save(path, {"network": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.load(path)


def test_a_checkpoint_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "final.pt"
    torch.save({"network": Says(0.5, 0.5)}, path)
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.load(path)


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "final.pt"
    checkpoint.save(path, {"epoch": 1})

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(path, {"epoch": 2})
    assert checkpoint.load(path) == {"epoch": 1}


def test_there_is_nothing_to_load_where_nothing_was_saved(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "final.pt") is None


def test_the_weights_of_another_network_are_refused(tmp_path: Any) -> None:
    with pytest.raises(RunError, match=r"final\.pt does not fit this version of tailfuse"):
        checkpoint.set_weights(nn.Linear(2, 3), nn.Linear(2, 4).state_dict(), tmp_path / "final.pt")


def test_a_checkpoint_of_another_version_is_refused_whatever_its_state_is_called(
    fit: Any, tmp_path: Path
) -> None:
    path = tmp_path / "final.pt"
    fit(path, epochs=1)
    state = torch.load(path)
    state["waited"] = state.pop("epochs_since_best")  # as up to 0.2
    torch.save(state, path)
    with pytest.raises(RunError, match=r"final\.pt was written by another version of tailfuse; delete it"):
        fit(path, epochs=1)
