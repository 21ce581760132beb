"""A run on series end to end: it learns, notices damage, and is served alike at any length."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import tailfuse
import torch
from starlette.testclient import TestClient
from tailfuse.cli.inputs import parse_inputs
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.export.graphs import TOLERANCE, make_example, run_eagerly
from tailfuse.modalities import KINDS, SeriesSpec
from tailfuse_service.app import create_app
from tailfuse_service.bundle import GRAPHS, OUTPUT_NAMES, open_bundle, open_graph, read_manifest
from tailfuse_service.bundle.runtime import RuntimeName
from tailfuse_service.settings import Settings

pytestmark = pytest.mark.slow

SPEC = """\
name: waves
table: table.parquet
label: label
split: split
modalities:
  trace: {kind: series, column: trace, length: 32}
  noise: {kind: tabular, columns: [a, b]}
network: {width: 24}
training: {epochs: 25, batch_size: 32, folds: 0}
"""
SPEEDS = {"slow": 0.04, "fast": 0.2, "mixed": 0.1}


def write_waves(folder: Path) -> Path:
    """Waves of 9 to 40 steps whose speed is the class, and two numbers that say nothing."""
    random, rows = np.random.default_rng(0), []
    for number, label in enumerate(
        random.permutation(["slow"] * 100 + ["fast"] * 60 + ["mixed"] * 40).tolist()
    ):
        time = np.arange(random.integers(9, 41))
        wave = np.sin(2 * np.pi * (SPEEDS[label] * time + random.random()))
        trace = np.stack([7 + 3 * wave, random.normal(size=len(time))], 1) + random.normal(
            0, 0.3, (len(time), 2)
        )
        rows.append(
            {
                "label": label,
                "split": ("train", "train", "val", "train", "test")[number % 5],
                "trace": trace.tolist() if number % 7 else None,
                "a": random.normal(),
                "b": random.normal(),
            }
        )
    pl.DataFrame(rows).write_parquet(folder / "table.parquet")
    (folder / "spec.yaml").write_text(SPEC)
    return folder / "spec.yaml"


@pytest.fixture(scope="module", params=["conv", "logmel", "fixed"])
def waves(tmp_path_factory: pytest.TempPathFactory, trained_by: Any, request: pytest.FixtureRequest) -> Any:
    """A run on the waves that has ended."""
    folder = tmp_path_factory.mktemp("waves")
    return trained_by(write_waves(folder), folder / "run", f"modalities.trace.encoder={request.param}")


def test_the_series_carries_the_class_and_the_numbers_do_not(waves: Any) -> None:
    test = waves.dataset.test.only(["trace", "noise"])
    output = predict_part(partial(run_eagerly, waves.network), test)
    assert (output.probabilities.argmax(1) == test.labels).mean() > 0.75
    trace, noise = (
        predict_part(partial(run_eagerly, waves.network), test.only([name])).probabilities.argmax(1)
        == test.labels
        for name in ("trace", "noise")
    )
    assert trace.mean() > noise.mean() + 0.2
    assert output.weights[:, 0].mean() > 0.5


def test_damaged_series_are_trusted_less_than_clean_ones(waves: Any) -> None:
    part, modality = waves.dataset.test.only(["trace"]), waves.dataset.modalities["trace"]
    own = SplitArrays(
        {**part.inputs, "trace": part.batch().inputs["trace"]},
        {**part.position, "trace": np.arange(len(part))},
        part.labels,
    )
    rows, generator = torch.from_numpy(own.inputs["trace"]), torch.Generator().manual_seed(0)
    broken = KINDS["series"].corrupt(rows, modality, generator).numpy()
    clean, damaged = (
        predict_part(
            partial(run_eagerly, waves.network),
            SplitArrays({**own.inputs, "trace": rows}, own.position, own.labels),
        )
        for rows in (own.inputs["trace"], broken)
    )
    assert clean.confidences[:, 0].mean() > damaged.confidences[:, 0].mean() + 0.1


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
@pytest.mark.parametrize("time", [1, 2, 3, 31, 40])
@pytest.mark.parametrize("size", [1, 5])
def test_a_graph_takes_series_of_any_length(waves: Any, runtime: RuntimeName, time: int, size: int) -> None:
    graph = open_graph(waves.bundle / GRAPHS[runtime], read_manifest(waves.bundle), runtime=runtime)
    part = make_example(waves.dataset.test, size)
    series = np.random.default_rng(0).normal(size=(size, time, 3)).astype(np.float32)
    series[:, :, 2] = np.arange(time) <= np.arange(size)[:, None] * time // size
    series *= series[:, :, 2:]
    batch = SplitArrays(
        {**part.inputs, "trace": series}, {**part.position, "trace": np.arange(size)}, part.labels
    )
    for subset in (["trace"], ["trace", "noise"]):
        expected, answered = (
            run_eagerly(waves.network, batch.only(subset).batch()),
            graph.run(batch.only(subset).batch()),
        )
        for field in OUTPUT_NAMES:
            np.testing.assert_allclose(getattr(answered, field), getattr(expected, field), atol=TOLERANCE)


def test_the_service_answers_as_the_network_does(waves: Any) -> None:
    bundle = open_bundle(waves.bundle)
    table = pl.read_parquet(waves.spec.table).filter(pl.col("split") == "test")
    expected = predict_part(partial(run_eagerly, waves.network), waves.dataset.test).probabilities
    items = [
        {"inputs": {"trace": row["trace"], "noise": {"a": row["a"], "b": row["b"]}}}
        for row in table.iter_rows(named=True)
    ]
    app = create_app(Settings(bundle=waves.bundle), bundle)
    with TestClient(app) as client:
        results = client.post("/predict/batch", json={"items": items}).json()["results"]
    names = bundle.manifest.class_names
    answered = [[result["probabilities"][name] for name in names] for result in results]
    np.testing.assert_allclose(answered, expected, atol=2e-5)


def test_the_pages_say_what_a_series_is(waves: Any) -> None:
    card = (waves.bundle / "MODEL_CARD.md").read_text()
    encoder = waves.spec.modalities["trace"].encoder
    assert f"| trace | series of 2 channels, at most 32 steps, encoder {encoder} |" in card
    assert '"trace": [[' in card
    assert "series of 2 channels" in (waves.bundle / "report.html").read_text()


def test_predict_takes_a_table_or_a_file(waves: Any, tmp_path: Path) -> None:
    bundle = open_bundle(waves.bundle)
    (tmp_path / "one.csv").write_text("x,y\n7,0\n9,0.5\n8,-0.5\n")
    inputs = parse_inputs({"trace": "series"}, [f"trace={tmp_path / 'one.csv'}"])
    assert tailfuse.predict_sample(bundle, inputs)["modalities"]["trace"]["present"] is True
    pl.DataFrame({"id": [7, 8], "trace": ["one.csv", None]}).write_csv(tmp_path / "new.csv")
    tailfuse.predict(waves.bundle, tmp_path / "new.csv", tmp_path / "answers.csv")
    lines = (tmp_path / "answers.csv").read_text().splitlines()
    assert lines[1].startswith("1,")
    assert set(lines[2]) == {"2", ","}


def test_the_spec_of_a_run_keeps_its_columns(waves: Any) -> None:
    kept = read_manifest(waves.bundle).spec["modalities"]["trace"]
    assert SeriesSpec.model_validate(kept) == waves.spec.modalities["trace"]
