"""The calibration set: its rows, their weights, and their scores, clean and corrupted."""

import copy

import numpy as np
import pytest
import torch
from tailfuse.calibration import calibration_set as module
from tailfuse.calibration.calibration_set import (
    CORRUPTED_COPIES,
    CalibrationRows,
    collect_calibration_data,
    compute_row_weights,
    fit_plda_heads,
    limit_rows,
    select_class,
    take_evenly,
)
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.losses.imbalance import make_expert_loss
from tailfuse.modalities.image.small_cnn import SmallCnn
from tailfuse.modalities.tabular.encoder import Mlp
from tailfuse.network.network import Network
from tailfuse.network.plda import PldaHead
from tailfuse_service.modalities import ImageModality, TabularModality
from tailfuse_service.modalities.tabular import BooleanColumn

CPU = torch.device("cpu")
TWO_NUMBERS = TabularModality(columns=(BooleanColumn(name="a"), BooleanColumn(name="b")), width=2)


PICTURE = ImageModality(column="p", height=8, width=8, channels=1)


def make_part(labels: list[int], *names: str) -> SplitArrays:
    """Rows that have every modality, whose numbers are the row's and the label's."""
    codes = np.array(labels, np.int64)
    inputs = np.stack([np.arange(len(codes)) / 10, codes + np.arange(len(codes)) % 3], 1).astype(np.float32)
    names = names or ("one",)
    return SplitArrays(dict.fromkeys(names, inputs), dict.fromkeys(names, np.arange(len(codes))), codes)


def make_network(n_classes: int = 2, *names: str) -> Network:
    torch.manual_seed(0)
    return Network(
        {name: Mlp(TWO_NUMBERS, width=8, dropout=0.0, input_dropout=0.0) for name in names or ("one",)},
        width=8, n_classes=n_classes, dropout=0.0,
        loss_fn=make_expert_loss(torch.ones(n_classes), (0.0, 1.0)),
    ).eval()  # fmt: skip


def test_every_prefix_holds_the_classes_as_evenly_as_can_be() -> None:
    part = make_part([0, 0, 0, 0, 0, 1, 1, 2])
    assert take_evenly(part, 100).labels.tolist() == [0, 1, 2, 0, 1, 0, 0, 0]
    assert take_evenly(part, 4).labels.tolist() == [0, 1, 2, 0]


def test_of_too_many_rows_all_networks_have_as_many_and_rare_classes_keep_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CALIBRATION_ROWS", 12)
    network = make_network()
    some = limit_rows(
        [CalibrationRows(network, make_part([0] * 20 + [1])), CalibrationRows(network, make_part([1, 0]))]
    )
    assert [len(part) for _, part in some] == [6, 2]
    assert np.bincount(some[0].part.labels).tolist() == [5, 1]


def test_all_classes_count_alike_by_hand() -> None:
    # 1/3, 1/3, 1/3, 1 are 1/2 on average.
    weight = compute_row_weights(torch.tensor([0, 0, 0, 4]))
    assert weight.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0])


def test_the_value_of_a_rows_own_class() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert select_class(values, torch.tensor([2, 0])).tolist() == [3.0, 4.0]


def test_plda_heads_are_fitted_to_the_features_of_the_rows_that_have_a_modality() -> None:
    network, part = make_network(3, "one", "two"), make_part([0] * 6 + [1] * 5 + [2] * 4, "one", "two")
    other = SplitArrays(
        part.inputs, {**part.position, "two": np.where(part.labels == 2, -1, np.arange(15))}, part.labels
    )
    fit_plda_heads(network, other, CPU)
    views, labels = torch.from_numpy(part.inputs["one"]), torch.from_numpy(part.labels)
    for name, kept in (("one", labels >= 0), ("two", labels < 2)):
        expected = PldaHead(2, 3)
        expected.fit(views[kept], labels[kept])
        for mine, theirs in zip(network.plda_head(name)(views), expected(views), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_a_modality_without_rows_keeps_its_plda_head() -> None:
    network, nothing = make_network(), make_part([])
    before = copy.deepcopy(network.state_dict())
    fit_plda_heads(network, nothing, CPU)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_evidence_is_of_clean_and_damaged_rows_with_classes_alike() -> None:
    network, part = make_network(), make_part([0] * 9 + [1])
    data = collect_calibration_data(
        [CalibrationRows(network, part)] * 2, "one", TWO_NUMBERS, {}, seed=0, device=CPU
    )
    assert data is not None
    assert data.labels.tolist() == part.labels.tolist() * 2
    torch.testing.assert_close(
        data.clean.log_p[:10], network.score("one", torch.from_numpy(part.inputs["one"])).log_p
    )
    assert len(data.corrupted.statistics) == 20 * CORRUPTED_COPIES
    assert not torch.equal(data.corrupted.log_p[:20], data.clean.log_p)
    assert float(data.weight.mean()) == pytest.approx(1.0)
    rare = data.labels == 1
    assert float(data.weight[rare].sum()) == pytest.approx(float(data.weight[~rare].sum()))


def test_damaged_pictures_are_shown_to_the_final_network_too() -> None:
    encoder = SmallCnn(PICTURE, width=8, dropout=0.0, input_dropout=0.0)
    loss_fn = make_expert_loss(torch.ones(2), (0.0, 1.0))
    final = Network({"one": encoder}, width=8, n_classes=2, loss_fn=loss_fn, dropout=0.0).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8)).astype(np.uint8)
    part = SplitArrays({"one": pixels}, {"one": np.arange(6)}, np.arange(6) % 2)
    calibration_set = [CalibrationRows(final, part), CalibrationRows(copy.deepcopy(final), part)]
    data = collect_calibration_data(calibration_set, "one", PICTURE, {}, seed=0, device=CPU)
    assert data is not None
    assert len(data.clean.log_p) == 12
    assert len(data.corrupted.log_p) == (6 + 12) * CORRUPTED_COPIES


def test_damaged_features_are_shared_out_among_the_networks() -> None:
    network, part = make_network(), make_part([0, 1])
    features = torch.arange(10.0).view(5, 2)
    data = collect_calibration_data(
        [CalibrationRows(network, part)] * 2, "one", TWO_NUMBERS, {"one": features}, seed=0, device=CPU
    )
    assert data is not None
    expected = network.score("one", features[[0, 2, 4, 1, 3]])
    torch.testing.assert_close(data.corrupted.log_p, expected.log_p)


def test_nothing_held_out_is_no_evidence() -> None:
    network = make_network()
    assert (
        collect_calibration_data(
            [CalibrationRows(network, make_part([]))], "one", TWO_NUMBERS, {}, seed=0, device=CPU
        )
        is None
    )
