"""`tailfuse adapt` as a user runs it, and the service with what it wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import polars as pl
import pytest
from tailfuse_service.bundle import open_bundle

from tests.support.asking import as_json, assert_answers
from tests.support.command import refused, tailfuse
from tests.support.process import TIMEOUT_S, Service

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def fours(quickstart: Path) -> Path:
    """Test rows, most of them fours, without labels; beside the pictures."""
    table = pl.read_csv(quickstart / "table.csv").filter(pl.col("split") == "test")
    few = table.filter(pl.col("digit") != 4).gather_every(12)
    path = quickstart / "fours.csv"
    pl.concat([table.filter(pl.col("digit") == 4), few]).drop("digit", "split").write_csv(path)
    return path


@pytest.fixture(scope="module")
def new_bundle(bundle_folder: Path, fours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapted") / "bundle"
    text = tailfuse("adapt", bundle_folder, "--unlabelled", fours, "--out", out, "--yes")
    assert "training  estimated  change" in text
    assert "70 rows; were all classes equally frequent, p = " in text
    return out


@pytest.mark.parametrize("runtime", ["onnx", "torchscript"])
def test_the_service_answers_with_the_new_prior(
    start: Callable[..., Service], bundle_folder: Path, new_bundle: Path, samples: list[dict[str, Any]],
    runtime: str,
) -> None:  # fmt: skip
    service = start("--runtime", runtime, bundle=new_bundle)
    new, old = open_bundle(new_bundle), open_bundle(bundle_folder)
    with httpx2.Client(base_url=service.url, timeout=TIMEOUT_S, trust_env=False) as client:
        assert client.get("/model").json()["version"] == "1+adapted"
        for sample in samples:
            answer = client.post("/predict", json=as_json(sample)).json()
            assert_answers(answer, new, sample, tolerance=1e-4)
            # Of the bundles, not of the answer: that is rounded.
            before, after = (each.run([each.sample(sample)]).probabilities[0] for each in (old, new))
            assert after[4] > before[4]
    assert service.stop() == 0


def test_json_and_a_zip(bundle_folder: Path, fours: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.zip"
    text = tailfuse(
        "adapt", bundle_folder, "--unlabelled", fours, "--out", out, "--json", "--rows", 50, "--yes"
    )
    found = json.loads(text)
    assert found["rows"] == 50
    assert found["shifted"]
    assert open_bundle(out).manifest.adaptation is not None
    assert [each.name for each in tmp_path.iterdir()] == ["new.zip"]


def test_what_cannot_be_is_said(bundle_folder: Path, fours: Path, tmp_path: Path) -> None:
    assert refused("adapt", bundle_folder, "--unlabelled", fours, "--out", tmp_path) == (
        f"Error: {tmp_path} is there already; choose another --out"
    )
    out = tmp_path / "new"
    assert "no such bundle" in refused("adapt", tmp_path / "none", "--unlabelled", fours, "--out", out)
    assert "no such file" in refused("adapt", bundle_folder, "--unlabelled", "none.csv", "--out", out)
    zero = refused("adapt", bundle_folder, "--unlabelled", fours, "--out", out, "--rows", 0, code=2)
    assert "0 is not in the range" in zero
    assert not out.exists()
