"""An adapted bundle: both graphs with another prior, everything else as it was, whole or not at all."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from tailfuse.errors import ExportError, TableError, UserError
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.evaluation.prior import Prior, reweighted
from tailfuse.export import adapt as module
from tailfuse.export.adapt import adapt_bundle, find_adaptation, unlabelled_rows
from tailfuse.export.graphs import LOG_PRIOR
from tailfuse_service.bundle import MANIFEST, Manifest, open_bundle, read_manifest, sha256
from tailfuse_service.bundle.runtime import RuntimeName

pytestmark = pytest.mark.slow

RUNTIMES: tuple[RuntimeName, ...] = ("onnx", "torchscript")
SHARES = np.array([0.7, 0.2, 0.1])


def make_rows(trained: Any, folder: Path, kind: str | None = None, *, labels: bool = True) -> Path:
    """The leaves of one kind, or all of them, as another table beside the first one's pictures."""
    table = pl.read_csv(trained.spec.table)
    if kind:
        table = table.filter(pl.col("label") == kind)
    path: Path = trained.spec.table.parent / f"{folder.name}.csv"
    (table if labels else table.drop("label")).write_csv(path)
    return path


def adapted(trained: Any, folder: Path, table: Path, source: Path | None = None) -> Manifest:
    rows = unlabelled_rows(read_manifest(trained.bundle), table)
    source = source or trained.bundle
    return adapt_bundle(source, find_adaptation(source, rows), rows, folder / "adapted")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is SHARES, whatever the rows."""
    monkeypatch.setattr(module, "estimate_prior", lambda *_: Prior(SHARES, 0.0))


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_both_graphs_answer_times_the_prior(trained: Any, tmp_path: Path, runtime: RuntimeName) -> None:
    manifest = adapted(trained, tmp_path, make_rows(trained, tmp_path))
    assert manifest.version == "1+adapted"
    before, after = (
        predict_part(open_bundle(folder, runtime=runtime).runtime.run, trained.dataset.test)
        for folder in (trained.bundle, tmp_path / "adapted")
    )
    np.testing.assert_allclose(after.probabilities, reweighted(before.probabilities, SHARES), atol=1e-5)
    assert np.abs(np.log(after.probabilities / before.probabilities)).max() > 0.05
    np.testing.assert_array_equal(after.weights, before.weights)
    np.testing.assert_array_equal(after.confidences, before.confidences)


@pytest.mark.usefixtures("known")
def test_what_is_adapted_twice_starts_anew(trained: Any, tmp_path: Path) -> None:
    table = make_rows(trained, tmp_path)
    first = adapted(trained, tmp_path, table)
    second = adapted(trained, tmp_path / "again", table, source=tmp_path / "adapted")
    assert second.version == first.version
    assert second.adaptation is not None
    assert first.adaptation is not None
    assert first.adaptation.before is not None
    assert second.adaptation.before is not None
    assert second.adaptation.before.nll == pytest.approx(first.adaptation.before.nll, abs=1e-5)
    sample = {"note": "a round leaf"}
    one, two = (
        bundle.run([bundle.sample(sample)]).probabilities
        for bundle in map(open_bundle, (tmp_path / "adapted", tmp_path / "again" / "adapted"))
    )
    np.testing.assert_allclose(one, two, atol=1e-6)
    card = (tmp_path / "again" / "adapted" / "MODEL_CARD.md").read_text()
    assert card.count("Adapted.") == 1


def test_rows_of_one_kind_are_recognised_without_their_labels(trained: Any, tmp_path: Path) -> None:
    manifest = adapted(trained, tmp_path, make_rows(trained, tmp_path, "oak", labels=False))
    found = manifest.adaptation
    assert found is not None
    assert found.shifted
    assert max(found.prior, key=lambda name: found.prior[name]) == "oak"
    assert found.prior["oak"] > 0.6
    assert sum(found.prior.values()) == pytest.approx(1)
    assert (found.before, found.after) == (None, None)
    assert found.rows == 80


def test_labels_judge_the_result(trained: Any, tmp_path: Path) -> None:
    found = adapted(trained, tmp_path, make_rows(trained, tmp_path, "oak")).adaptation
    assert found is not None
    assert found.before is not None
    assert found.after is not None
    assert found.after.rows == 80
    assert (found.after.nll or 0) < (found.before.nll or 0)


@pytest.mark.usefixtures("known")
def test_labels_of_another_kind_are_named_and_left_aside(
    trained: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make_rows(trained, tmp_path)
    pl.read_csv(path).with_columns(label=pl.lit("birch")).write_csv(path)
    found = adapted(trained, tmp_path, path).adaptation
    assert found is not None
    assert found.after is None
    assert "120 labels are no class of this model and are left out; the first: row 1, 'birch'" in caplog.text


@pytest.mark.usefixtures("known")
def test_rows_that_have_a_label_are_enough_to_measure_the_effect(trained: Any, tmp_path: Path) -> None:
    path = make_rows(trained, tmp_path)
    table = pl.read_csv(path)
    names = [name if row % 2 else None for row, name in enumerate(table["label"])]
    table.with_columns(label=pl.Series(["birch", *names[1:]])).write_csv(path)
    found = adapted(trained, tmp_path, path).adaptation
    assert found is not None
    assert found.before is not None
    assert found.before.rows == 60
    assert found.rows == 120


def test_without_a_shift_the_answers_stay_and_that_is_said(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uniform = Prior(np.full(3, 1 / 3), 0.4)
    monkeypatch.setattr(module, "estimate_prior", lambda *_: uniform)
    manifest = adapted(trained, tmp_path, make_rows(trained, tmp_path))
    assert manifest.adaptation is not None
    assert not manifest.adaptation.shifted
    before, after = (
        predict_part(open_bundle(folder).runtime.run, trained.dataset.test).probabilities
        for folder in (trained.bundle, tmp_path / "adapted")
    )
    np.testing.assert_array_equal(after, before)
    assert "spoke against equally frequent classes" in (tmp_path / "adapted" / "report.html").read_text()


@pytest.mark.usefixtures("known")
def test_the_pages_and_the_manifest_say_what_was_done(trained: Any, tmp_path: Path) -> None:
    table = make_rows(trained, tmp_path)
    manifest = adapted(trained, tmp_path, table)
    old = read_manifest(trained.bundle)
    assert manifest.adaptation is not None
    assert manifest.adaptation.prior == pytest.approx({"ash": 0.7, "elm": 0.2, "oak": 0.1})
    assert manifest.adaptation.table_sha256 == sha256(table)
    same = {"version", "files", "adaptation"}
    assert manifest.model_dump(exclude=same) == old.model_dump(exclude=same)
    assert old.held_out is not None
    assert sum(old.held_out.rows) == len(trained.dataset.val)
    for name in ("MODEL_CARD.md", "report.html"):
        text = (tmp_path / "adapted" / name).read_text()
        assert "<tr><td>ash</td><td>70.0%</td></tr>" in text
        assert manifest.files[name] != old.files[name]
    card = (tmp_path / "adapted" / "MODEL_CARD.md").read_text()
    assert card.startswith("# leaves, version 1\n\n<!-- adapted -->\n")
    assert "<!-- /adapted -->\n\n## What it does" in card
    content = (tmp_path / "adapted" / "model.ts").read_bytes()
    assert str(Path(module.__file__).parent).encode() not in content


def test_the_first_rows_are_enough(trained: Any, tmp_path: Path) -> None:
    table = make_rows(trained, tmp_path)
    rows = unlabelled_rows(read_manifest(trained.bundle), table, 7)
    assert len(rows.part) == 7
    path = tmp_path / "other.csv"
    path.write_text("colour\nred\n")
    with pytest.raises(TableError, match="no row has any modality of this model: picture, veins, note"):
        unlabelled_rows(read_manifest(trained.bundle), path)


def older(trained: Any, folder: Path, lacking: str) -> Path:
    """The trained bundle as it would be without one of the things that adapting needs."""
    bundle = folder / "older"
    shutil.copytree(trained.bundle, bundle)
    manifest = json.loads((bundle / MANIFEST).read_text())
    if lacking == "held_out":
        del manifest["held_out"]
    else:
        graph = onnx.load(bundle / "model.onnx")
        for node in graph.graph.node:
            node.input[:] = ["renamed" if name == LOG_PRIOR else name for name in node.input]
        for each in graph.graph.initializer:
            each.name = "renamed" if each.name == LOG_PRIOR else each.name
        onnx.save(graph, bundle / "model.onnx")
        manifest["files"]["model.onnx"] = sha256(bundle / "model.onnx")
    (bundle / MANIFEST).write_text(json.dumps(manifest))
    return bundle


@pytest.mark.parametrize("lacking", ["held_out", "log_prior"])
def test_an_older_bundle_opens_and_is_refused(trained: Any, tmp_path: Path, lacking: str) -> None:
    source = older(trained, tmp_path, lacking)
    open_bundle(source)
    with pytest.raises(UserError, match="train"):
        adapted(trained, tmp_path, make_rows(trained, tmp_path), source)
    assert not (tmp_path / "adapted").exists()


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("setter", ["set_onnx_prior", "set_torchscript_prior"])
def test_a_graph_that_was_set_wrongly_is_found_out(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setter: str
) -> None:
    right = getattr(module, setter)
    monkeypatch.setattr(module, setter, lambda path, log_prior: right(path, log_prior[::-1].copy()))
    with pytest.raises(ExportError, match="the expected values in probabilities"):
        adapted(trained, tmp_path, make_rows(trained, tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == []
