"""Class priors: shares by name or from a file, and what they make of the graph's answers."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tailfuse_service.bundle import Bundle, BundleError, Output, open_bundle
from tailfuse_service.bundle.manifest import Adaptation, DefaultPrior
from tailfuse_service.bundle.prior import PriorError, apply_prior, make_prior
from tailfuse_service.bundle.prior_file import read_prior

from tests.support.bundles import CLASSES, write_tiny_bundle

CLINICAL = {"clinical": {"age": 61, "site": "back"}}
COUNTS = np.array([90, 40, 3])  # training rows of the tiny bundle
SHARES = {"nv": 0.2, "mel": 0.3, "bkl": 0.5}
ADAPTED = {"nv": 0.5, "mel": 0.4, "bkl": 0.1}


def make_adaptation(prior: dict[str, float]) -> Adaptation:
    return Adaptation(
        prior=prior, shifted=True, p_value=0.0, rows=9, table_sha256="0", before=None, after=None
    )


@pytest.mark.parametrize(
    ("chosen", "shares"),
    [
        ("uniform", np.full(3, 1 / 3)),
        ("training", COUNTS / COUNTS.sum()),
        ("tempered", COUNTS**0.25 / (COUNTS**0.25).sum()),
        (dict(reversed(SHARES.items())), np.array([0.2, 0.3, 0.5])),
    ],
    ids=["uniform", "training", "tempered", "given"],
)
def test_answers_are_multiplied_by_the_shares(bundle: Bundle, chosen: Any, shares: Any) -> None:
    sample = bundle.sample(CLINICAL)
    graph = bundle.run([sample]).probabilities[0]
    after = open_bundle(bundle_path(bundle), prior=chosen).run([sample])
    expected = graph * shares / (graph * shares).sum()
    np.testing.assert_allclose(after.probabilities[0], expected, atol=1e-6)
    np.testing.assert_array_equal(after.weights, bundle.run([sample]).weights)


def bundle_path(bundle: Bundle) -> Path:
    """The folder that the tiny bundle's graph was loaded from."""
    path: str = bundle.runtime._session._model_path  # type: ignore[attr-defined]
    return Path(path).parent


def test_an_adapted_graph_is_freed_of_its_shares_first(bundle: Bundle) -> None:
    manifest = bundle.manifest.model_copy(update={"adaptation": make_adaptation(ADAPTED)})
    uniform = np.array([[0.2, 0.5, 0.3]], np.float32)
    graph = uniform * list(ADAPTED.values())
    output = Output((graph / graph.sum()).astype(np.float32), uniform, uniform)
    for name, expected in (("uniform", uniform), ("training", uniform * COUNTS)):
        prior = make_prior(manifest, name)
        assert prior.stated_name == name
        answered = apply_prior(output, prior.factors).probabilities
        np.testing.assert_allclose(answered, expected / expected.sum(), atol=1e-6)
    assert make_prior(manifest, ADAPTED).factors is None


def test_a_bundle_answers_for_the_prior_in_its_manifest(tmp_path: Path, bundle: Bundle) -> None:
    shares = dict(zip(CLASSES, (COUNTS / COUNTS.sum()).tolist(), strict=True))
    folder = write_tiny_bundle(tmp_path / "b", prior=DefaultPrior(name="training", shares=shares))
    sample = bundle.sample(CLINICAL)
    opened = open_bundle(folder)
    assert opened.stated_prior == "training"
    graph = bundle.run([sample]).probabilities[0]
    expected = graph * COUNTS / (graph * COUNTS).sum()
    np.testing.assert_allclose(opened.run([sample]).probabilities[0], expected, atol=1e-6)
    uniform = open_bundle(folder, prior="uniform")
    assert uniform.stated_prior is None
    np.testing.assert_array_equal(uniform.run([sample]).probabilities[0], graph)


def test_a_class_that_the_graph_excludes_stays_excluded() -> None:
    certain = np.array([[1.0, 0.0, 0.0]], np.float32)
    answered = apply_prior(Output(certain, certain, certain), np.array([1e-9, 1.0, 1.0])).probabilities
    np.testing.assert_array_equal(answered, certain)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"nv": 0.5, "mel": 0.5}, "no share is given for 'bkl'; every class needs one"),
        ({**SHARES, "mal": 0.0}, "'mal' is no class of the model; expected 'nv', 'mel', 'bkl'"),
        ({**SHARES, "nv": 0.0}, "the share of class 'nv' is 0; expected at least 1e-09"),
        ({**SHARES, "nv": -0.2}, "the share of class 'nv' is -0.2"),
        ({**SHARES, "nv": float("nan")}, "the share of class 'nv' is nan"),
        ({**SHARES, "nv": float("inf")}, "the share of class 'nv' is inf"),
        ({"nv": 20.0, "mel": 30.0, "bkl": 50.0}, "the shares sum to 100; expected 1"),
        ({}, "no share is given for 'nv', 'mel', 'bkl'"),
        ({**SHARES, "nv": "x"}, "the share of class 'nv' is no number: 'x'"),
        ({**SHARES, "nv": None}, "the share of class 'nv' is no number: None"),
        ({**SHARES, "nv": True}, "the share of class 'nv' is no number: True"),
        ({0: 0.5, 1: 0.5}, "'0' is no class of the model; expected 'nv', 'mel', 'bkl'"),
        ({True: 0.5, None: 0.5}, "'True' is no class of the model"),
        ({**SHARES, " nv ": 0.2}, "two shares are given for class 'nv'"),
        ([0.2, 0.3, 0.5], "prior is a list; expected uniform, training, tempered, or a mapping"),
    ],
    ids=repr,
)
def test_shares_that_cannot_be_right_are_refused(bundle: Bundle, shares: Any, said: str) -> None:
    with pytest.raises(PriorError) as raised:
        make_prior(bundle.manifest, shares)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("0", "1", "2"), (0, 1, 2)),
        (("0", "1", "2"), (np.float64(0), np.int64(1), 2.0)),
        (("false", "true", "-1"), (False, np.True_, -1)),
    ],
)
def test_classes_are_found_by_their_labels(
    bundle: Bundle, names: tuple[str, ...], labels: tuple[Any, ...]
) -> None:
    known = zip(bundle.manifest.classes, names, strict=True)
    classes = tuple(info.model_copy(update={"name": name}) for info, name in known)
    manifest = bundle.manifest.model_copy(update={"classes": classes})
    prior = make_prior(manifest, dict(zip(labels, (0.2, 0.3, 0.5), strict=True)))
    assert prior.shares == pytest.approx(dict(zip(names, (0.2, 0.3, 0.5), strict=True)))


def test_rounded_shares_are_made_to_sum_to_one(bundle: Bundle) -> None:
    prior = make_prior(bundle.manifest, dict.fromkeys(CLASSES, 0.333))
    assert sum(prior.shares.values()) == pytest.approx(1, abs=1e-12)


def test_a_bundle_without_training_rows_is_named(tmp_path: Path, bundle: Bundle) -> None:
    classes = tuple(info.model_copy(update={"train_count": 0}) for info in bundle.manifest.classes)
    folder = write_tiny_bundle(tmp_path / "b", classes=classes)
    with pytest.raises(BundleError, match="does not say how many training rows class 'nv' had"):
        open_bundle(folder, prior="training")
    assert open_bundle(folder, prior="uniform").prior is not None


@pytest.mark.parametrize(
    "network",
    [{"loss": "cross_entropy"}, {"loss": "focal"}, {"loss": "experts", "experts": [0.0]}],
    ids=repr,
)
def test_a_loss_whose_answers_are_not_uniform_is_refused(bundle: Bundle, network: dict[str, Any]) -> None:
    manifest = bundle.manifest.model_copy(update={"spec": {"network": network}})
    with pytest.raises(PriorError, match=f"network.loss '{network['loss']}'"):
        make_prior(manifest, "training")
    assert make_prior(manifest, "uniform").factors is None
    balanced = bundle.manifest.model_copy(update={"spec": {"network": {"experts": [0.0, 1.0, 2.0]}}})
    assert make_prior(balanced, "training").factors is not None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("shares.yaml", "nv: 0.2\nmel: 0.3\nbkl: 0.5\n"),
        ("shares.yml", '{"nv": "0.2", mel: .3, bkl: 5e-1}'),
        ("shares.json", '{"nv": 0.2, "mel": 0.3, "bkl": 0.5}'),
    ],
)
def test_a_file_of_shares_is_read(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert read_prior(str(path)) == SHARES


def test_class_names_that_yaml_takes_for_values_stay_as_they_are_spelt(tmp_path: Path) -> None:
    path = tmp_path / "shares.yaml"
    path.write_text("1.0: 0.25\n007: 0.25\nno: 0.25\nnull: 0.25\n")
    assert read_prior(str(path)) == {"1.0": 0.25, "007": 0.25, "no": 0.25, "null": 0.25}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "nv: 0.5\nnv: 0.5\n", "class 'nv' is given twice"),
        ("a.json", '{"nv": 0.5, "nv": 0.5}', "class 'nv' is given twice"),
        ("a.yaml", "nv: half\n", "the share of class 'nv' is no number: 'half'"),
        ("a.json", '{"nv": true}', "the share of class 'nv' is no number: True"),
        ("a.json", '{"nv": [0.5]}', "the share of class 'nv' is no number: [0.5]"),
        ("a.yaml", "nv: 0,5\n", "the share of class 'nv' is no number: '0,5'"),
        ("a.yaml", "- nv\n", "expected a share for each class"),
        ("a.yaml", "", "expected a share for each class"),
        ("a.yaml", "nv: [", "not valid YAML"),
        ("a.yaml", "\x00", "not valid YAML"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", "[" * 100_000, "not valid JSON"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(PriorError) as raised:
        read_prior(str(path))
    assert said in str(raised.value)
    assert name in str(raised.value)


def test_a_name_that_is_neither_a_prior_nor_a_file_is_refused() -> None:
    with pytest.raises(PriorError, match="prior 'trainin': No such file or directory; expected uniform, tr"):
        read_prior("trainin")


def test_without_pyyaml_json_is_recommended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shares.yaml"
    path.write_text(json.dumps(SHARES))
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(PriorError, match=r"needs PyYAML .* or write a \.json file"):
        read_prior(str(path))
