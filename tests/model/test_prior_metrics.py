"""Metrics by class prior, with rows weighted to the training shares; and a bundle trained with a prior."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import SpecError
from tailfuse.evaluation.metrics import subset_metrics
from tailfuse.evaluation.prior_metrics import compute_natural_weights, evaluate_priors
from tailfuse.export.bundle import write_bundle
from tailfuse.spec.schema import load_spec
from tailfuse.training.train import check_prior
from tailfuse_service.bundle import Output, open_bundle, read_manifest
from tailfuse_service.bundle.manifest import ClassInfo, Shot


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(each) for each in arguments], prog_name="tailfuse")


def test_weights_give_the_classes_their_training_shares() -> None:
    classes = tuple(
        ClassInfo(name=name, train_count=count, shot="many") for name, count in (("a", 90), ("b", 10))
    )
    labels = np.array([0, 0, 1, 1, 1, 1])
    weights = compute_natural_weights(labels, classes)
    assert weights.mean() == pytest.approx(1)
    assert weights[labels == 0].sum() / weights.sum() == pytest.approx(0.9)


def test_weighted_metrics_are_those_of_repeated_rows() -> None:
    random = np.random.default_rng(0)
    probabilities, labels = random.dirichlet(np.ones(3), 30), random.integers(0, 3, 30)
    times = random.integers(1, 4, 30)
    shots: tuple[Shot, ...] = ("many", "medium", "few")
    weighted = subset_metrics(probabilities, labels, shots, times.astype(float))
    repeated = subset_metrics(probabilities.repeat(times, axis=0), labels.repeat(times), shots)
    for name in ("accuracy", "macro_f1", "nll"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name))


def test_the_training_prior_is_best_where_rows_are_as_in_training(trained: Any) -> None:
    """Of calibrated answers: those of a mixture whose densities are known."""
    random = np.random.default_rng(1)
    manifest = read_manifest(trained.bundle)
    counts = (900, 90, 10)
    classes = tuple(
        info.model_copy(update={"train_count": count})
        for info, count in zip(manifest.classes, counts, strict=True)
    )
    labels = np.arange(3).repeat(500)
    x = random.normal(size=(1500, 3)) + 1.5 * np.eye(3)[labels]
    probabilities = np.exp(1.5 * x)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    output = Output(probabilities.astype(np.float32), probabilities, probabilities)
    long_tailed = manifest.model_copy(update={"classes": classes})
    numbers = np.arange(len(labels))
    part = SplitArrays({"number": numbers[:, None]}, {"number": numbers}, labels)
    found = evaluate_priors(
        lambda batch: output.take(batch.inputs["number"][:, 0].tolist()), part, long_tailed
    )
    assert list(found) == ["uniform", "training", "tempered"]
    best = {
        metric: max(found, key=lambda name: getattr(found[name], metric))
        for metric in ("accuracy", "balanced_accuracy")
    }
    assert best == {"accuracy": "training", "balanced_accuracy": "uniform"}
    assert min(found, key=lambda name: found[name].nll or 0) == "training"


def test_bundle_pages_and_commands_have_the_metrics(trained: Any, tmp_path: Path) -> None:
    manifest = read_manifest(trained.bundle)
    assert list(manifest.prior_metrics) == ["uniform", "training", "tempered"]
    assert manifest.prior is None
    for page in ("report.html", "MODEL_CARD.md"):
        assert "Where classes are as frequent as in training" in (trained.bundle / page).read_text()
    out = tmp_path / "out.json"
    done = invoke("evaluate", trained.bundle, trained.spec.table, "--part", "test", "--out", out)
    assert done.exit_code == 0, done.output
    assert "training" in done.stdout
    written = json.loads(out.read_text())["priors"]
    assert written["training"]["accuracy"] == pytest.approx(manifest.prior_metrics["training"].accuracy)


def test_evaluate_and_predict_answer_for_a_prior(trained: Any, tmp_path: Path) -> None:
    names = read_manifest(trained.bundle).class_names
    shares = dict.fromkeys(names, 0.001) | {names[0]: 1 - 0.001 * (len(names) - 1)}
    path = tmp_path / "shares.yaml"
    path.write_text(json.dumps(shares))
    table = trained.spec.table
    for prior in ("uniform", path):
        out = tmp_path / f"{getattr(prior, 'stem', prior)}.json"
        assert invoke("evaluate", trained.bundle, table, "--prior", prior, "--out", out).exit_code == 0
    plain, given = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("uniform", "shares"))
    first = [sum(row[0] for row in each["confusion"]) for each in (plain, given)]
    assert first[1] > first[0]
    assert plain["priors"] == given["priors"]
    done = invoke("predict", trained.bundle, "-i", "note=a round leaf", "--prior", path)
    answer = json.loads(done.stdout)
    assert (answer["prior"], answer["label"]) == ("given", names[0])
    rows = invoke("predict", trained.bundle, table, "--prior", path, "--out", tmp_path / "answers.csv")
    assert rows.exit_code == 0, rows.output
    bad = invoke("predict", trained.bundle, "-i", "note=a leaf", "--prior", "trainin")
    assert bad.exit_code == 2
    assert "prior 'trainin'" in bad.stderr
    path.write_text(json.dumps({names[0]: 1.0}))
    lacking = invoke("predict", trained.bundle, "-i", "note=a leaf", "--prior", path)
    assert lacking.exit_code == 1
    assert "no share is given for" in lacking.stderr


@pytest.mark.slow
def test_a_bundle_is_trained_with_a_prior(trained: Any, tmp_path: Path) -> None:
    spec = trained.spec.model_copy(update={"prior": "training"})
    manifest = write_bundle(trained.network, spec, trained.dataset, [], tmp_path / "bundle")
    assert manifest.prior is not None
    counts = {info.name: info.train_count for info in manifest.classes}
    total = sum(counts.values())
    assert manifest.prior.shares == pytest.approx({name: count / total for name, count in counts.items()})
    assert open_bundle(tmp_path / "bundle").stated_prior == "training"
    assert open_bundle(tmp_path / "bundle", prior="uniform").stated_prior is None
    assert manifest.metrics == read_manifest(trained.bundle).metrics  # of the graphs
    shutil.rmtree(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ("{oak: 0.5}", "no share is given for"),
        ("{oak: 0.9, elm: 0.05, teak: 0.05}", "'teak' is no class of the model"),
    ],
)
def test_shares_of_other_classes_stop_a_training(trained: Any, prior: str, said: str) -> None:
    spec = load_spec(trained.spec.table.parent / "spec.yaml", [f"prior={prior}"])
    with pytest.raises(SpecError) as raised:
        check_prior(spec, trained.dataset)
    assert said in str(raised.value)
    assert str(raised.value).startswith("prior: ")


@pytest.mark.parametrize("value", ["natural", "[0.1, 0.9]", "{oak: much}", "0.5"])
def test_another_value_of_the_key_is_refused(trained: Any, value: str) -> None:
    with pytest.raises(SpecError, match="--set: prior: takes"):
        load_spec(trained.spec.table.parent / "spec.yaml", [f"prior={value}"])


def test_a_baseline_without_uniform_answers_has_no_other_prior(trained: Any) -> None:
    overrides = ["prior=training", "network.loss=cross_entropy"]
    spec = load_spec(trained.spec.table.parent / "spec.yaml", overrides)
    with pytest.raises(SpecError, match=r"network\.loss 'cross_entropy'"):
        check_prior(spec, trained.dataset)
