"""`embed`: embeddings of a network in memory as a frame, and bundles that have none."""

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


def test_embeddings_are_what_the_head_gets_and_absent_modalities_have_none() -> None:
    classifier = fit()
    rows = make_rows().drop("species").head(4)
    rows = rows.with_columns(
        length=pl.Series([1.0, None, 2.0, None]), remark=pl.Series(["lobed 1", "smooth 2", None, None])
    )
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


def test_an_opened_bundle_and_a_baseline_say_that_they_have_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="was opened from its bundle, whose graph has no embeddings"):
        tailfuse.load(write_tiny_bundle(tmp_path / "bundle")).embed({"review": ["a"]})
    with pytest.raises(UserError, match="baseline without a fused embedding"):
        fit(fusion="concat").embed(make_rows().head(2))
