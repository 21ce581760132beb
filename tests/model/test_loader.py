"""The loader of batches: the same rows with other processes and without, and no random number is drawn."""

from typing import Any

import numpy as np
import pytest
import torch
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.training import loader
from tailfuse.training.loader import LabelledBatch, load_batches
from torch.utils.data import DataLoader


@pytest.fixture
def rows(lesions: Any) -> SplitArrays:
    lesions.rows[0]["image"] = None
    lesions.rows[3]["note"] = None
    part: SplitArrays = lesions.load().train
    return part


INDICES = [np.array([0, 3, 5]), np.array([7, 1]), np.array([2])]


def list_values(batch: LabelledBatch) -> Any:
    inputs, at, presence = batch.tensors
    return (
        {name: each.tolist() for name, each in inputs.items()},
        {name: each.tolist() for name, each in at.items()},
        presence.tolist(), batch.labels.tolist(),
    )  # fmt: skip


def test_each_batch_holds_its_rows(rows: SplitArrays) -> None:
    batches = list(load_batches(rows, INDICES, torch.device("cpu")))
    assert [batch.labels.tolist() for batch in batches] == [rows.labels[index].tolist() for index in INDICES]
    for index, batch in zip(INDICES, batches, strict=True):
        expected = rows.take(index).batch()
        assert batch.tensors.presence.tolist() == expected.presence.tolist()
        for name, values in expected.inputs.items():
            np.testing.assert_array_equal(batch.tensors.inputs[name].numpy(), values)


def test_processes_gather_the_same_batches(rows: SplitArrays, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [list_values(batch) for batch in load_batches(rows, INDICES, torch.device("cpu"))]
    seen: list[dict[str, Any]] = []

    def make_loader(*args: Any, **options: Any) -> Any:
        seen.append(options)
        return DataLoader(*args, **{**options, "pin_memory": False})  # which needs a GPU

    monkeypatch.setattr(loader, "DataLoader", make_loader)
    monkeypatch.setattr(loader, "MIN_BATCHES", 3)
    monkeypatch.setattr(loader, "WORKERS", 2)
    assert [list_values(batch) for batch in load_batches(rows, INDICES, torch.device("cuda"))] == alone
    assert (seen[0]["num_workers"], seen[0]["pin_memory"]) == (2, True)
    list(load_batches(rows, INDICES[:2], torch.device("cuda")))
    assert (seen[1]["num_workers"], seen[1]["pin_memory"]) == (0, True)


def test_no_number_of_the_training_is_drawn(rows: SplitArrays) -> None:
    before = torch.get_rng_state()
    list(load_batches(rows, INDICES, torch.device("cpu")))
    assert torch.equal(torch.get_rng_state(), before)
