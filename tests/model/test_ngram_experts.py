"""The experts on n-grams: the linear expert, fitted without the rows that it scores, and known n-grams."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tailfuse.calibration import fit_linear
from tailfuse.calibration.calibration_set import CalibrationData
from tailfuse.calibration.fit_confidence import fit_posterior
from tailfuse.calibration.fit_linear import choose_inverse, make_ngram_trial, select_rows
from tailfuse.data.dataset import load_dataset
from tailfuse.modalities.ragged import keep_apart, pad_rows
from tailfuse.modalities.text.encoder import ProjectedTexts
from tailfuse.modalities.text.lsa import Tfidf, make_tfidf
from tailfuse.network import ngrams
from tailfuse.network.network import Network, Scores
from tailfuse.network.ngrams import NgramExperts
from tailfuse.spec.schema import load_spec
from tailfuse.training.families import Stages
from tailfuse.training.fit import calibrate_network, train_stages
from tailfuse_service.modalities.text.sparse_rows import CHARACTERS_FROM, WORD_NGRAMS_FROM

from tests.support.reviews import write_reviews

BUCKETS = 64


def make_rows(n: int, seed: int = 0) -> Any:
    """Return rows of five n-grams: two tokens, two word n-grams, one of characters."""
    random = np.random.default_rng(seed)
    ids = np.concatenate(
        [
            random.integers(1, 40, (n, 2)), WORD_NGRAMS_FROM + random.integers(0, 40, (n, 2)),
            CHARACTERS_FROM + random.integers(0, 40, (n, 1)),
        ],
        axis=1,
    )  # fmt: skip
    rows = np.stack([np.sort(ids, axis=1), random.integers(1, 4, ids.shape)], axis=-1)
    return keep_apart(list(rows.astype(np.int32)))


def make_weights() -> Tfidf:
    tfidf = Tfidf(BUCKETS)
    tfidf.idf[1:] = torch.linspace(1, 2, 2 * BUCKETS)
    return tfidf


@pytest.mark.parametrize("classes", [[0, 1, 2], [0, 1], [0, 2], [1, 3]])
def test_the_linear_expert_is_logistic_regression_less_the_log_prior(classes: list[int]) -> None:
    rows, tfidf = make_rows(90), make_weights()
    labels = np.array(classes)[np.random.default_rng(1).choice(len(classes), 90, p=None)]
    experts = NgramExperts(BUCKETS, 4)
    experts.fit_linear(rows, labels, 3.0, tfidf)
    words = make_tfidf(rows, tfidf)[:, 1 : 1 + BUCKETS]
    regression = LogisticRegression(C=3.0, max_iter=200, tol=1e-3).fit(words, labels)
    prior = np.log(np.bincount(labels)[classes] / 90)
    expected = torch.from_numpy(regression.predict_log_proba(words) - prior).log_softmax(-1)
    found = experts.classify(*tfidf(torch.from_numpy(pad_rows(rows, rows))))[:, classes].log_softmax(-1)
    torch.testing.assert_close(found.double(), expected, atol=5e-3, rtol=5e-3)  # float16 weights


def test_rows_of_one_class_teach_the_linear_expert_nothing() -> None:
    experts = NgramExperts(BUCKETS, 3)
    experts.fit_linear(make_rows(5), np.ones(5, np.int64), 3.0, make_weights())
    assert not experts.weights.any()


def test_texts_are_scored_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, padded to the longest, the rows of a large table took gigabytes."""
    rows, tfidf, experts = make_rows(50), make_weights(), NgramExperts(BUCKETS, 3)
    trial = make_ngram_trial(experts, tfidf)
    trial.fit(rows, np.arange(50) % 3, 3.0)
    whole = trial.score(rows)
    monkeypatch.setattr(fit_linear, "PIECE", 7)
    torch.testing.assert_close(trial.score(rows), whole)
    assert whole.shape == (50, 3)


def test_of_many_texts_the_classes_give_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, tfidf, labels = make_rows(50), make_weights(), np.repeat([0, 1, 2], [40, 7, 3])
    kept = np.r_[0:4, 40:44, 47:50]
    expected = NgramExperts(BUCKETS, 3)
    expected.fit_linear(rows[kept], labels[kept], 3.0, tfidf)
    monkeypatch.setattr(fit_linear, "MAX_TEXTS", len(kept))
    experts = NgramExperts(BUCKETS, 3)
    make_ngram_trial(experts, tfidf).fit(rows, labels, 3.0)
    torch.testing.assert_close(experts.weights, expected.weights)
    torch.testing.assert_close(experts.bias, expected.bias)


def test_the_known_ngrams_of_many_texts_are_noted_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, experts, other = make_rows(50), NgramExperts(BUCKETS, 3), NgramExperts(BUCKETS, 3)
    experts.fit_known(rows)
    monkeypatch.setattr(ngrams, "PIECE", 7)
    other.fit_known(rows)
    assert torch.equal(experts.known, other.known)
    assert experts.known.any()


def test_shares_of_known_ngrams_are_counted_by_kind() -> None:
    experts = NgramExperts(BUCKETS, 3)
    pair = WORD_NGRAMS_FROM
    experts.fit_known(keep_apart([np.array([[3, 1], [5, 1], [pair, 1], [CHARACTERS_FROM, 2]], np.int32)]))
    text = torch.tensor([[[3, 2], [4, 1], [pair + 1, 1], [CHARACTERS_FROM, 9], [0, 0]]])
    shares = experts.measure_known(text)
    torch.testing.assert_close(shares, torch.tensor([[2.5 / 4, 0.5 / 2]]))
    torch.testing.assert_close(experts.measure_known(text[:, :4]), shares)
    nothing = torch.tensor([[[CHARACTERS_FROM, 1]]])
    torch.testing.assert_close(experts.measure_known(nothing), torch.tensor([[0.5, 0.5]]))


def test_features_have_no_ngrams() -> None:
    linear, shares = NgramExperts(BUCKETS, 3)(torch.ones(2, 7), None)
    assert (linear.shape, shares.shape) == ((2, 3), (2, 2))
    assert not linear.any()
    assert not shares.any()


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages[Network]:
    spec = load_spec(write_reviews(tmp_path_factory.mktemp("reviews")))
    return train_stages(spec, load_dataset(spec))


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_spec(write_reviews(tmp_path_factory.mktemp("again")))


def test_no_network_knows_the_words_of_rows_that_it_scores(stages: Stages[Network]) -> None:
    """Each review has a word of its own: a network that knows it has seen the row."""
    scored = [(stages.network, stages.dataset.val), *stages.folds]
    for network, part in scored:
        experts = network.ngrams("review")
        rows, _ = select_rows(part, "review")
        tokens = [row[row[:, 0] < WORD_NGRAMS_FROM, 0] for row in rows]
        unknown = [int((~experts.known[torch.from_numpy(each).long()]).sum()) for each in tokens]
        assert np.mean(unknown) >= 0.9  # but for hashes that collide
    rows, _ = select_rows(stages.dataset.train, "review")
    final = stages.network.ngrams("review")
    assert all(
        final.known[torch.from_numpy(row[row[:, 0] < CHARACTERS_FROM, 0]).long()].all() for row in rows
    )


def test_the_linear_expert_of_a_fold_is_less_certain_than_one_that_has_seen_its_rows(
    stages: Stages[Network],
) -> None:
    encoder = stages.network.encoders[0]
    assert isinstance(encoder, ProjectedTexts)
    assert encoder.projection is not None
    final = stages.network.ngrams("review")
    for network, part in stages.folds:
        rows, labels = select_rows(part, "review")
        at = torch.arange(len(labels)), torch.from_numpy(labels)
        tfidf = encoder.projection.tfidf(torch.from_numpy(pad_rows(rows, rows)))
        held, seen = (each.classify(*tfidf)[at].mean() for each in (network.ngrams("review"), final))
        assert held < seen - 0.1


def test_the_regularisation_is_chosen_on_rows_that_were_left_out(stages: Stages[Network]) -> None:
    _, held = stages.folds[0]
    encoder = stages.network.encoders[0]
    assert isinstance(encoder, ProjectedTexts)
    assert encoder.projection is not None
    experts, tfidf = NgramExperts(encoder.ngram_buckets or 0, 3), encoder.projection.tfidf
    shuffled = np.random.default_rng(0).permutation(held.labels)
    noise = type(held)(held.inputs, held.position, shuffled)
    trial = make_ngram_trial(experts, tfidf)
    assert choose_inverse(trial, noise, noise.first(40), "review") == 10.0  # rows that it has seen
    assert choose_inverse(trial, held.first(0), held, "review") == 3.0


def make_calibration_data(linear: torch.Tensor, labels: torch.Tensor) -> CalibrationData:
    random = torch.Generator().manual_seed(1)
    n = len(labels)
    one_hot = torch.nn.functional.one_hot(labels, 3)
    log_p = (one_hot + torch.randn(n, 3, generator=random)).log_softmax(-1)
    scores = Scores(torch.zeros(n, 2), log_p, log_p, torch.zeros(n, 12), linear)
    return CalibrationData(scores, scores, labels, torch.ones(n))


@pytest.mark.parametrize("informative", [True, False])
def test_a_linear_expert_is_used_only_if_it_helps(informative: bool) -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (600,), generator=random)
    one_hot = torch.nn.functional.one_hot(labels, 3)
    linear = (informative * one_hot + torch.randn(600, 3, generator=random)).log_softmax(-1)
    weights = fit_posterior(make_calibration_data(linear, labels), use_plda=True).pool_weights[0]
    assert (weights[2] > 0.2) == informative
    assert informative or weights[2] == 0


def test_damaged_texts_lose_their_weight(stages: Stages[Network], spec: Any) -> None:
    network = calibrate_network(stages, spec).eval()
    features = stages.dataset.modalities["review"].features("review")
    texts = {
        "clean": ["the dress is very lovely and flattering", "i bought this hat for travel and it fits"],
        "gibberish": ["xqz wvkj qqrt zzxw plok mnbt", "hgfd jkliu trewq zxcvb poiu"],
        "foreign": ["der die und in den von zu das mit", "la que el en y los se del las"],
    }
    in_dist = {}
    for name, each in texts.items():
        rows = [row for text in each if (row := features.apply(text)) is not None]
        statistics = network.score("review", torch.from_numpy(features.stack(rows))).statistics
        both = statistics[:, None].expand(-1, 2, -1)
        in_dist[name] = network.confidences(both)[0][:, 0].sigmoid()
    assert in_dist["clean"].min() > 0.5
    assert max(in_dist["gibberish"].max(), in_dist["foreign"].max()) < 0.2


@pytest.mark.slow
def test_the_exported_graphs_hold_the_experts(tmp_path: Path, trained_by: Any) -> None:
    """Writing a bundle checks both graphs against the network on every subset."""
    bundle = trained_by(write_reviews(tmp_path, 120), tmp_path / "run", "training.epochs=3").bundle
    assert (bundle / "model.onnx").stat().st_size > CHARACTERS_FROM
