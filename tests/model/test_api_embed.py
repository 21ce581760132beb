"""`embed`: embeddings of a network in memory and of its bundle as a frame, and bundles that have none."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import tailfuse
import torch
from tailfuse.api.fit import NetworkRuntime
from tailfuse.errors import UserError
from tailfuse.network.network import Network

from tests.support.bundles import write_tiny_bundle

pytestmark = pytest.mark.slow

MODALITIES: dict[str, dict[str, Any]] = {
    "size": {"kind": "tabular", "columns": ["length"]},
    "note": {"kind": "text", "columns": "remark"},
}


def make_rows() -> pl.DataFrame:
    random = np.random.default_rng(0)
    species = ["oak", "oak", "elm"] * 20
    return pl.DataFrame(
        {
            "species": species,
            "length": random.normal(size=60) + [3 * (name == "elm") for name in species],
            "remark": [
                f"{'smooth' if name == 'elm' else 'lobed'} {at % 4}" for at, name in enumerate(species)
            ],
        }
    )


def fit(**network: object) -> tailfuse.Classifier:
    classifier = tailfuse.Classifier(
        modalities=MODALITIES, network={"width": 8, **network}, training={"epochs": 2, "folds": 0}
    )
    return classifier.fit(make_rows(), label="species")


@pytest.fixture(scope="module")
def classifier() -> tailfuse.Classifier:
    return fit()


@pytest.fixture
def rows() -> pl.DataFrame:
    """Four rows: of both modalities, of one, of the other, of none."""
    return (
        make_rows()
        .drop("species")
        .head(4)
        .with_columns(
            length=pl.Series([1.0, None, 2.0, None]), remark=pl.Series(["lobed 1", "smooth 2", None, None])
        )
    )


def test_embeddings_are_what_the_head_gets_and_absent_modalities_have_none(
    classifier: tailfuse.Classifier, rows: pl.DataFrame
) -> None:
    frame = classifier.embed(rows)
    assert frame.columns[:2] == ["embedding.size.0", "embedding.size.1"]
    assert frame.width == 3 * 8
    size, note, fused = (
        frame.select(pl.col(f"^{name}\\..*$")) for name in ("embedding.size", "embedding.note", "fused")
    )
    missing = [
        frame.select(pl.all_horizontal(pl.all().is_null())).to_series().to_list()
        for frame in (size, note, fused)
    ]
    assert missing == [[False, True, False, True], [False, False, True, True], [False, False, False, True]]
    assert not fused.head(3).null_count().sum_horizontal().item()
    runtime = classifier.model_.bundle.runtime
    assert isinstance(runtime, NetworkRuntime)
    network = runtime.network
    assert isinstance(network, Network)
    given: list[torch.Tensor] = []
    hook = network.joint.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    classifier.predict_proba(rows)
    hook.remove()
    # Rows are answered in the order of their length: here each column is compared by its sorted values.
    found, expected = fused.head(3).to_numpy(), given[0].numpy()
    assert np.allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-5)
    alone = classifier.embed(rows.head(1)).to_numpy()  # a row has the same embedding in another batch
    assert np.allclose(alone, frame.head(1).to_numpy(), atol=1e-5)
    in_pandas = classifier.embed(pd.DataFrame(rows.to_dict(as_series=False), index=list("abcd")))
    assert list(in_pandas.index) == list("abcd")
    nothing = classifier.embed(rows.tail(1))
    assert nothing.width == 3 * 8
    assert nothing.null_count().sum_horizontal().item() == 3 * 8


def test_a_bundle_and_a_pickle_embed_as_the_network_does(
    classifier: tailfuse.Classifier, rows: pl.DataFrame, tmp_path: Path
) -> None:
    every = pl.concat([make_rows().drop("species"), rows])
    expected = classifier.embed(every)
    unpickled = pickle.loads(pickle.dumps(classifier))
    opened = [
        tailfuse.load(classifier.export(tmp_path / name), prior=prior)
        for name, prior in (("bundle", None), ("bundle.zip", "training"))
    ]
    for model in (unpickled, pickle.loads(pickle.dumps(unpickled)), *opened):
        frame = model.embed(every)
        assert frame.columns == expected.columns
        assert frame.select(pl.all().is_null()).equals(expected.select(pl.all().is_null()))
        assert np.nanmax(np.abs(frame.to_numpy() - expected.to_numpy())) < 1e-4
    assert opened[0].embed(rows.tail(1)).null_count().sum_horizontal().item() == 3 * 8
    with pytest.raises(UserError, match="TorchScript graph has no embeddings; open the bundle with runtime"):
        tailfuse.load(tmp_path / "bundle", runtime="torchscript").embed(rows)


def test_a_bundle_embeds_where_there_is_no_torch(classifier: tailfuse.Classifier, tmp_path: Path) -> None:
    bundle = classifier.export(tmp_path / "bundle")
    script = (
        "import sys\nsys.modules['torch'] = sys.modules['sklearn'] = sys.modules['onnx'] = None\n"
        "import tailfuse\nprint(tailfuse.load(sys.argv[1]).embed({'length': [1.0]}).shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(bundle)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "(1, 24)", done.stderr


def test_an_older_bundle_and_a_baseline_say_that_they_have_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was opened from its bundle, whose graph has no embeddings: an"):
        tailfuse.load(write_tiny_bundle(tmp_path / "bundle")).embed({"review": ["a"]})
    baseline = fit(fusion="concat")
    for model in (baseline, pickle.loads(pickle.dumps(baseline))):
        with pytest.raises(UserError, match="fusion concat is a baseline without a fused embedding"):
            model.embed(make_rows().head(2))
