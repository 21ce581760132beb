"""The PLDA head: a Gaussian model of a modality's rows, and of what is unlike them."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tailfuse.network.plda import PldaHead
from torch import Tensor


def make_rows(counts: list[int], n_numbers: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Classes whose means are 3 apart or so, one covariance for all: rows, labels, the means."""
    random = np.random.default_rng(seed)
    means = 1.5 * random.standard_normal((len(counts), n_numbers))
    mix = random.standard_normal((n_numbers, n_numbers)) / n_numbers**0.5 + np.eye(n_numbers)
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = means[labels] + random.standard_normal((len(labels), n_numbers)) @ mix
    return torch.tensor(rows).float(), torch.tensor(labels), torch.tensor(means).float()


def fitted(rows: Tensor, labels: Tensor, n_classes: int) -> PldaHead:
    plda = PldaHead(rows.shape[1], n_classes)
    plda.fit(rows, labels)
    return plda


def test_one_direction_by_hand() -> None:
    # Two classes of two rows each, at -3 -1 and 1 3: means -2 and 2, variance within 2 x 4 / 2 ... = 2.
    # Between, by moments: (2 x 4 + 2 x 4) / 2 - 1 = 7 in units of 2, over (4 - 8 / 4) = 3.5 rows a class.
    rows, labels = torch.tensor([[-3.0], [-1.0], [1.0], [3.0]]), torch.tensor([0, 0, 1, 1])
    plda = fitted(rows, labels, 2)
    b = 3.5
    known = 2 * b / (2 * b + 1)
    assert plda.discriminant.abs().item() == pytest.approx(2**-0.5, rel=1e-5)
    assert plda.mean.abs().flatten().tolist() == pytest.approx([known * 2**0.5] * 2, rel=1e-5)
    assert plda.precision.flatten().tolist() == pytest.approx([1 / (1 + b / (2 * b + 1))] * 2, rel=1e-5)
    densities, _ = plda(torch.tensor([[2.0]]))
    seen, mean, precision = 2**0.5, known * 2**0.5, 1 / (1 + b / (2 * b + 1))
    apart = precision * ((seen + mean) ** 2 - (seen - mean) ** 2) / 2
    assert float(densities[0, 1] - densities[0, 0]) == pytest.approx(apart, rel=1e-4)


def test_a_rare_class_is_found_with_what_was_learnt_from_frequent_ones() -> None:
    counts = [200, 200, 200, 200, 2, 2]
    rows, labels, means = make_rows(counts)
    random = np.random.default_rng(1)
    plda = fitted(rows, labels, 6)
    rare = torch.cat([means[4:] + 0.5 * torch.tensor(random.standard_normal((2, 12))).float()] * 1)
    assert plda(rare)[0].argmax(1).tolist() == [4, 5]


def test_the_fewer_rows_a_class_has_the_wider_its_density_and_the_nearer_its_mean() -> None:
    rows, labels, _ = make_rows([300, 30, 3])
    plda = fitted(rows, labels, 3)
    precision = plda.precision[:, 0].tolist()
    assert precision[0] > precision[1] > precision[2]
    raw = torch.stack([rows[labels == c].mean(0) for c in range(3)]) - rows.mean(0)
    kept = plda.mean[:, 0] / (raw @ plda.discriminant)[:, 0]
    assert kept[0] > kept[1] > kept[2] > 0


def test_a_class_without_rows_is_as_wide_as_the_spread_of_the_classes() -> None:
    rows, labels, _ = make_rows([40, 40, 0, 40])
    plda = fitted(rows, labels, 4)
    assert plda.mean[2].abs().max() == 0
    assert (plda.precision[2] <= plda.precision.amin(0)).all()
    assert plda(rows)[0].isfinite().all()


@pytest.mark.parametrize("n_numbers", [1, 3, 40, 500])
def test_any_number_of_columns_is_fitted(n_numbers: int) -> None:
    rows, labels, _ = make_rows([20, 5, 2], n_numbers)
    densities, ood_scores = fitted(rows, labels, 3)(rows)
    assert densities.shape == (27, 3)
    assert ood_scores.shape == (27, 4)
    assert densities.isfinite().all()
    assert ood_scores.isfinite().all()


def test_classes_whose_rows_are_all_the_same_are_told_apart_with_a_limit() -> None:
    # At -1 and 1, and nothing within: the least variance is 1e-4 of the mean square, which is 1. In units of
    # its root the means are at -100 and 100, known to 1/4, so that densities are 5/4 wide: 200^2 / 2 x 4/5.
    rows, labels = torch.tensor([[-1.0]] * 4 + [[1.0]] * 4), torch.tensor([0] * 4 + [1] * 4)
    plda = fitted(rows, labels, 2)
    assert plda.mean.abs().flatten().tolist() == pytest.approx([100.0] * 2, rel=1e-3)
    densities = plda(torch.tensor([[1.0], [0.0]]))[0]
    assert float(densities[0, 1] - densities[0, 0]) == pytest.approx(16000, rel=1e-3)
    assert densities[1].diff().abs() < 0.01


def test_distances_are_exact_where_classes_hardly_vary() -> None:
    rows, labels, _ = make_rows([30, 30, 30], 600)
    means = torch.stack([rows[labels == c].mean(0) for c in range(3)])
    rows = means[labels] + 0.05 * (rows - means[labels])
    plda = fitted(rows, labels, 3)
    exact = copy.deepcopy(plda).double()(rows.double())
    for single, double in zip(plda(rows), exact, strict=True):
        torch.testing.assert_close(single.double(), double, atol=2e-5, rtol=2e-6)


@pytest.mark.parametrize("value", [0.0, -1e6, 1e6])
def test_whatever_is_asked_the_answer_is_finite(value: float) -> None:
    rows, labels, _ = make_rows([20, 5, 2])
    for each in fitted(rows, labels, 3)(torch.full((2, 12), value)):
        assert each.isfinite().all()


def test_rows_that_are_all_the_same_tell_nothing_apart() -> None:
    densities, ood_scores = fitted(torch.ones(6, 3), torch.tensor([0, 0, 0, 1, 1, 1]), 2)(torch.ones(2, 3))
    assert densities[:, 0].tolist() == densities[:, 1].tolist()
    assert ood_scores.isfinite().all()


def test_noise_of_the_data_s_own_scale_has_high_ood_scores() -> None:
    # Eight numbers that say the same three things: noise does not.
    random = np.random.default_rng(0)
    three = torch.tensor(random.standard_normal((300, 3))).float()
    rows = three @ torch.tensor(random.standard_normal((3, 8))).float()
    rows = (rows - rows.mean(0)) / rows.std(0)
    plda = fitted(rows[:200], torch.arange(200) % 2, 2)
    other, noise = plda(rows[200:])[1], plda(torch.randn(100, 8))[1]
    assert noise.amax(1).quantile(0.05) > other.amax(1).quantile(0.95) + 1


def test_a_rows_answer_does_not_depend_on_how_many_are_asked_with_it() -> None:
    rows, labels, _ = make_rows([50, 50, 5], 200)
    plda = fitted(rows, labels, 3)
    together = plda(rows)
    for at in (0, 60, 104):
        for one, every in zip(plda(rows[at : at + 1]), together, strict=True):
            torch.testing.assert_close(one[0], every[at], atol=1e-3, rtol=1e-4)


LinAlgError: Any = vars(torch.linalg)["LinAlgError"]


def fail_to_converge(*_: object, **__: object) -> None:
    raise LinAlgError("linalg.svd: The algorithm failed to converge")


def test_a_decomposition_that_does_not_converge_is_made_by_the_slow_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, labels, _ = make_rows([40, 30, 20], 8)
    expected = fitted(rows, labels, 3)(rows)[0]
    monkeypatch.setattr(torch.linalg, "svd", fail_to_converge)
    torch.testing.assert_close(fitted(rows, labels, 3)(rows)[0], expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("n_categories", [2, 50, 400, 700])
def test_hundreds_of_categories_are_fitted(n_categories: int) -> None:
    """Their rows have as many equal singular values."""
    category = torch.arange(3 * n_categories) % n_categories
    rows, labels = torch.eye(n_categories)[category], category % 2
    densities, scores = fitted(rows, labels, 2)(rows)
    assert densities.isfinite().all()
    assert scores.isfinite().all()


@pytest.mark.parametrize("of_cells", [True, False])
def test_slots_that_always_sum_to_1_are_no_evidence_if_they_are_cells(of_cells: bool) -> None:
    random = torch.Generator().manual_seed(0)
    category = torch.eye(3)[torch.randint(3, (300,), generator=random)]
    rows = torch.cat([torch.randn(300, 4, generator=random), category], dim=1)
    plda = PldaHead(7, 2)
    plda.fit(rows, (rows[:, 0] > 0).long(), of_cells=of_cells)
    scores = plda(rows)[1]
    missing = torch.cat([rows[:, :4], torch.zeros(300, 3)], dim=1)
    deviations = (plda(missing)[1] - scores.mean(0)) / scores.std(0).clamp(min=1e-2)
    assert (float(deviations.max()) < 10) == of_cells
    far = plda(torch.cat([30 * rows[:, :4], category], dim=1))[1]
    assert bool(((far - scores.mean(0)) / scores.std(0).clamp(min=1e-2)).amax(1).min() > 3)
