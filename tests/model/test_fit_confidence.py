"""Votes and confidences as they are fitted on held-out rows."""

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tailfuse.calibration.calibration_set import (
    CalibrationData,
    CalibrationRows,
    compute_row_weights,
    select_class,
)
from tailfuse.calibration.fit_confidence import (
    compute_posterior_logits,
    fit_confidence,
    fit_posterior,
    fit_reliability,
)
from tailfuse.data.dataset import load_dataset
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.export.graphs import run_eagerly
from tailfuse.modalities import KINDS
from tailfuse.network.build import AnyNetwork
from tailfuse.network.confidence import N_STATISTICS, Confidences
from tailfuse.network.fusion import ModalityPosteriors
from tailfuse.network.network import Network, Scores
from tailfuse.network.ngrams import N_SHARES
from tailfuse.quickstart.quickstart import write_quickstart
from tailfuse.spec.schema import Spec, load_spec
from tailfuse.training.families import Stages
from tailfuse.training.fit import calibrate_network, train_stages
from tailfuse_service.bundle import Output
from torch import Tensor

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def make_calibration_data(
    n: int = 400, certainty: float = 3.0, other: float = 0.0, seed: int = 0
) -> CalibrationData:
    """Four classes, told by softmax experts that are three times too sure and, with `other`, by densities.

    Clean rows' statistics are around 0, corrupted ones around 3.
    """
    random = torch.Generator().manual_seed(seed)
    # The last class is rare.
    labels = torch.randint(0, 13, (n,), generator=random).clamp(max=12) // 4
    own = F.one_hot(labels, 4).float()
    log_p = (certainty * 3 * (own + torch.randn(n, 4, generator=random))).log_softmax(-1)
    densities = other * own + torch.randn(n, 4, generator=random)
    clean = Scores(own, log_p, densities, torch.randn(n, N_STATISTICS, generator=random))
    corrupted = Scores(own, log_p, densities, torch.randn(n, N_STATISTICS, generator=random) + 3)
    return CalibrationData(clean, corrupted, labels, compute_row_weights(labels))


def compute_loss(log_p: Tensor, data: CalibrationData) -> float:
    return float(-(select_class(log_p.log_softmax(-1), data.labels) * data.weight).mean())


@pytest.mark.parametrize("use_plda", [True, False])
def test_a_vote_times_its_temperature_is_calibrated(use_plda: bool) -> None:
    data = make_calibration_data()
    posterior = fit_posterior(data, use_plda=use_plda)
    fitted = posterior.temperature * compute_posterior_logits(posterior, data.clean)
    assert compute_loss(fitted, data) < compute_loss(data.clean.log_p, data) - 0.5
    for sharpness in (0.8, 1.25):
        assert compute_loss(fitted, data) < compute_loss(sharpness * fitted, data)


def test_the_top_two_of_a_vote_are_1_apart_on_average_over_the_classes() -> None:
    data = make_calibration_data(other=1.0)
    top = compute_posterior_logits(fit_posterior(data, use_plda=True), data.clean).topk(2).values
    assert float(((top[:, 0] - top[:, 1]) * data.weight).mean()) == pytest.approx(1.0, rel=1e-5)


def test_without_a_plda_head_its_pool_weight_is_exactly_0() -> None:
    alpha, delta = fit_posterior(make_calibration_data(other=5.0), use_plda=False).pool_weights[0]
    assert alpha > 0
    assert delta == 0.0


def test_both_kinds_of_experts_together_say_more_than_either() -> None:
    data = make_calibration_data(other=2.0)
    posteriors = [fit_posterior(data, use_plda=use_plda) for use_plda in (True, False)]
    both, one = (each.temperature * compute_posterior_logits(each, data.clean) for each in posteriors)
    assert (posteriors[0].pool_weights > 0).all()
    assert compute_loss(both, data) < compute_loss(one, data) - 0.1


def test_an_expert_that_tells_nothing_gets_next_to_no_pool_weight() -> None:
    posterior = fit_posterior(make_calibration_data(other=0.0), use_plda=True)
    assert float(posterior.pool_weights[0, 1]) < 0.1


def test_experts_that_tell_nothing_at_all_are_not_blown_up() -> None:
    data = make_calibration_data()
    flat = data.clean._replace(log_p=torch.full((400, 4), -1.4), densities=torch.zeros(400, 4))
    posterior = fit_posterior(data._replace(clean=flat), use_plda=True)
    assert float(posterior.temperature) == pytest.approx(0.01)
    assert compute_posterior_logits(posterior, flat).isfinite().all()


def fit_one_confidence(data: CalibrationData, *, corrupted: bool, seed: int = 0) -> Confidences:
    posterior = fit_posterior(data, use_plda=True)
    return fit_reliability(posterior, data, corrupted=corrupted, seed=seed)


def apply(confidence: Confidences, statistics: Tensor) -> tuple[Tensor, Tensor]:
    """The log-odds of one modality's rows: (n, 10) -> (n,), (n,)"""
    real, right = confidence(statistics[:, None])
    return real[:, 0], right[:, 0]


def test_damaged_rows_are_found_less_real_than_clean_ones_and_new_ones_too() -> None:
    confidence, new = (
        fit_one_confidence(make_calibration_data(), corrupted=True),
        make_calibration_data(seed=1),
    )
    clean, corrupted = (
        apply(confidence, each.statistics)[0].sigmoid() for each in (new.clean, new.corrupted)
    )
    assert float(clean.mean()) > 0.9
    assert float(corrupted.mean()) < 0.1


def test_where_nothing_is_learnt_from_damaged_rows_no_rows_reality_is_doubted() -> None:
    confidence, new = (
        fit_one_confidence(make_calibration_data(), corrupted=False),
        make_calibration_data(seed=1),
    )
    real = torch.cat([apply(confidence, k * new.corrupted.statistics)[0] for k in (0, 1, 100)])
    assert real.unique().numel() == 1
    assert float(real[0].sigmoid()) > 0.95


@pytest.mark.parametrize("corrupted", [True, False])
def test_right_is_learnt_from_what_the_vote_makes_of_the_true_class(corrupted: bool) -> None:
    data = make_calibration_data(2000)
    posterior = fit_posterior(data, use_plda=True)
    answer = (posterior.temperature * compute_posterior_logits(posterior, data.clean)).softmax(-1)
    right = select_class(answer, data.labels)
    # One statistic tells how sure the answer is.
    seen = torch.zeros(2000, N_STATISTICS)
    seen[:, 0] = answer.amax(1)
    told = data._replace(clean=data.clean._replace(statistics=seen))
    fitted = apply(fit_one_confidence(told, corrupted=corrupted), seen)[1].sigmoid()
    assert float((fitted * data.weight).mean()) == pytest.approx(
        float((right * data.weight).mean()), abs=0.02
    )
    sure = seen[:, 0] > seen[:, 0].median()
    assert fitted[sure].mean() > fitted[~sure].mean() + 0.1


@torch.no_grad()
def confidences(network: Network, name: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The log-odds of rows of one modality."""
    statistics = network.score(name, rows).statistics
    real, right = network.confidences(statistics[:, None].expand(-1, len(network.modalities), -1))
    m = network.modalities.index(name)
    return real[:, m], right[:, m]


def calibration_set(trained: Any) -> list[CalibrationRows]:
    return [CalibrationRows(trained.network, trained.dataset.val)]


def fit(
    trained: Any, network: Network, seed: int = 0, held: list[CalibrationRows] | None = None, **options: bool
) -> None:
    fit_confidence(
        network, held or calibration_set(trained), trained.dataset.modalities, {}, seed=seed, device=CPU,
        **{"use_plda": True, "corrupted": True, **options},
    )  # fmt: skip


def test_fitting_touches_posteriors_and_confidences_and_nothing_else(trained: Any) -> None:
    network = copy.deepcopy(trained.network)
    before = copy.deepcopy(network.state_dict())
    fit(trained, network, seed=9)
    changed = {
        name.split(".")[0] for name, v in network.state_dict().items() if not torch.equal(v, before[name])
    }
    assert changed == {"posteriors", "confidences"}
    assert not any(p.requires_grad for p in network.confidences.parameters())


def test_fitting_twice_gives_the_same_whatever_was_drawn_in_between(trained: Any) -> None:
    first, again = copy.deepcopy(trained.network), copy.deepcopy(trained.network)
    fit(trained, first, seed=1)
    state = torch.get_rng_state()
    torch.randn(17)
    fit(trained, again, seed=1)
    assert all(torch.equal(v, again.state_dict()[name]) for name, v in first.state_dict().items())
    torch.set_rng_state(state)


def test_a_modality_that_no_held_out_row_has_is_trusted_like_any_other(trained: Any) -> None:
    network = copy.deepcopy(trained.network)
    network.posteriors = ModalityPosteriors(3, 3)
    network.confidences = Confidences(3, N_STATISTICS + N_SHARES).requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    fit(trained, network, held=[CalibrationRows(network, trained.dataset.val.only(["picture", "veins"]))])
    note = network.modalities.index("note")
    for name, value in network.state_dict().items():
        if name.startswith(("posteriors.", "confidences.")):
            assert torch.equal(value[note], before[name][note])
    rows = torch.from_numpy(trained.dataset.test.only(["note"]).batch().inputs["note"])
    real, right = confidences(network, "note", rows)
    assert real.unique().numel() == right.unique().numel() == 1


@torch.no_grad()
@pytest.mark.parametrize("name", ["picture", "veins"])
def test_damaged_pictures_and_numbers_are_trusted_less_than_clean_ones(trained: Any, name: str) -> None:
    part = trained.dataset.test.only([name])
    rows = torch.from_numpy(part.inputs[name][part.position[name]])
    modality = trained.dataset.modalities[name]
    broken = KINDS[modality.kind].corrupt(rows, modality, torch.Generator().manual_seed(0))

    def average_confidence(rows: Tensor) -> float:
        real, right = confidences(trained.network, name, rows)
        return float((real.sigmoid() * right.sigmoid()).mean())

    assert average_confidence(rows) > average_confidence(broken) + 0.1


def answered(network: AnyNetwork, part: SplitArrays) -> Output:
    return predict_part(partial(run_eagerly, network), part)


def noise_like(rows: NDArray[Any], scale: float) -> NDArray[Any]:
    """Noise in place of pixels, or of numbers scaled to a deviation of 1."""
    noise = scale * np.random.default_rng(1).normal(size=rows.shape)
    if rows.dtype == np.uint8:
        return np.clip(127.5 + 64 * noise, 0, 255).round().astype(np.uint8)
    return noise.astype(np.float32)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Spec, Dataset, Stages[Any]]:
    """The quick-start, trained for a moment: what is to be told from noise are real measurements."""
    path = write_quickstart(tmp_path_factory.mktemp("digits") / "quickstart")
    spec = load_spec(path, ["training.epochs=15", "training.folds=2"])
    dataset = load_dataset(spec)
    return spec, dataset, train_stages(spec, dataset)


def test_noise_of_the_data_s_own_scale_loses_its_weight_and_clean_rows_keep_theirs(digits: Any) -> None:
    spec, dataset, stages = digits
    network = calibrate_network(stages, spec)
    test = dataset.test
    clean = answered(network, test)
    assert clean.weights.mean(0).min() > 0.15
    right = (clean.probabilities.argmax(1) == test.labels).mean()
    assert right > 0.9
    for m, name in enumerate(test.modalities):
        without = answered(network, test.only([each for each in test.modalities if each != name]))
        rest = (without.probabilities.argmax(1) == test.labels).mean()
        for scale in (1.0, 3.0):
            noisy = {**test.inputs, name: noise_like(test.inputs[name], scale)}
            output = answered(network, SplitArrays(noisy, test.position, test.labels))
            assert output.weights[:, m].mean() < 0.05
            assert (output.probabilities.argmax(1) == test.labels).mean() > rest - 0.02


def test_without_damaged_rows_to_learn_from_noise_keeps_its_weight(digits: Any) -> None:
    spec, dataset, stages = digits
    training = spec.training.model_copy(update={"damage": False})
    network = calibrate_network(stages, spec.model_copy(update={"training": training}))
    noisy = {**dataset.test.inputs, "shape": noise_like(dataset.test.inputs["shape"], 3.0)}
    output = answered(network, SplitArrays(noisy, dataset.test.position, dataset.test.labels))
    assert output.weights[:, 2].mean() > 0.05  # the conflict with the others takes some of it


def test_the_spec_says_whether_the_plda_heads_count(digits: Any) -> None:
    spec, _, stages = digits
    without = spec.network.model_copy(update={"generative": False})
    for options, voting in ((spec.network, True), (without, False)):
        network = calibrate_network(stages, spec.model_copy(update={"network": options}))
        assert isinstance(network, Network)
        assert ((network.posteriors.pool_weights[:, 1] > 0) == voting).all()
