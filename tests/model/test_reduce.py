"""Bundles of less precision: what is reduced, what that costs, and what is refused."""

import itertools
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto
from tailfuse.cli import main
from tailfuse.data.split_arrays import SplitArrays
from tailfuse.errors import UserError
from tailfuse.evaluation.predict_part import predict_part
from tailfuse.export import reduce as module
from tailfuse.export.adapt import adapt_bundle, find_adaptation, unlabelled_rows
from tailfuse.export.graphs import LOG_PRIOR, make_example, mix_subsets
from tailfuse.export.precision import find_encoder_weights
from tailfuse.export.reduce import Comparison, reduce_bundle
from tailfuse.modalities.series.fixed import FixedSeries
from tailfuse_service.bundle import BundleError, Manifest, open_bundle, read_manifest
from tailfuse_service.bundle.runtime_onnx import OnnxRuntime
from tailfuse_service.modalities import SeriesModality, TabularModality
from tailfuse_service.modalities.series import Channel

PRECISIONS = ("float16", "int8")


@pytest.fixture(scope="module", params=PRECISIONS)
def reduced(
    request: pytest.FixtureRequest, trained: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Comparison]:
    """A bundle of less precision, and what was said of it."""
    folder = tmp_path_factory.mktemp("reduced") / request.param
    return folder, reduce_bundle(trained.bundle, trained.spec.table, request.param, folder)


def test_its_answers_are_near_those_of_float32_on_every_subset_and_size(trained: Any, reduced: Any) -> None:
    old, new = open_bundle(trained.bundle).runtime, open_bundle(reduced[0]).runtime
    part = mix_subsets(make_example(trained.dataset.test, 21))
    for size in (1, 2, 21):
        before, after = (each.run(part.first(size).batch()).probabilities for each in (old, new))
        assert 0 < np.abs(after - before).max() < 0.1


def test_its_embeddings_are_near_those_of_float32(trained: Any, reduced: Any) -> None:
    old, new = open_bundle(trained.bundle).runtime, open_bundle(reduced[0]).runtime
    assert isinstance(old, OnnxRuntime)
    assert isinstance(new, OnnxRuntime)
    batch = mix_subsets(make_example(trained.dataset.test, 21)).batch()
    for before, after in zip(old.embed(batch), new.embed(batch), strict=True):
        assert after.dtype == np.float32
        assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.95


def test_the_encoders_layers_are_reduced_and_nothing_else(trained: Any, reduced: Any) -> None:
    graphs = (onnx.load(folder / "model.onnx").graph for folder in (trained.bundle, reduced[0]))
    old, new = ({each.name: each for each in graph.initializer} for graph in graphs)
    kind = TensorProto.FLOAT16 if "float16" in reduced[0].name else TensorProto.INT8
    assert kind in {each.data_type for each in new.values()}
    assert old.keys() - new.keys()
    assert all(
        name.startswith(("network.encoders.0.", "network.encoders.2.")) for name in old.keys() - new.keys()
    )
    assert LOG_PRIOR in new


def test_the_manifest_has_the_new_graphs_figures_beside_those_of_float32(trained: Any, reduced: Any) -> None:
    folder, said = reduced
    old, new = read_manifest(trained.bundle), read_manifest(folder)
    assert (old.precision, new.precision) == ("float32", folder.name)
    assert new.version == f"{old.version}+{folder.name}"
    assert new == said.manifest
    assert new.reduction is not None
    plain = dict.fromkeys(("ece_debiased", "ece_low", "ece_high"))  # only the manifest has these
    assert new.reduction.before == said.float32.metrics
    assert said.float32.metrics == old.metrics["as given"].model_copy(update=plain)
    assert new.reduction.after == said.reduced.metrics
    assert said.reduced.metrics == new.metrics["as given"].model_copy(update=plain)
    assert new.reduction.bytes_after == (folder / "model.onnx").stat().st_size
    assert sorted(new.files) == ["MODEL_CARD.md", "model.onnx", "report.html"]
    assert all(set(each.microseconds) == {1, 32} for each in (said.float32, said.reduced))


def test_both_pages_say_so(reduced: Any) -> None:
    for name in ("MODEL_CARD.md", "report.html"):
        text = (reduced[0] / name).read_text("utf-8")
        assert text.count(f"<strong>{reduced[0].name}.</strong>") == 1


def test_there_is_no_torchscript_that_would_answer_otherwise(reduced: Any) -> None:
    with pytest.raises(BundleError, match="cannot be served with runtime 'torchscript'"):
        open_bundle(reduced[0], runtime="torchscript")


def test_what_one_caller_sends_does_not_change_the_answers_to_others(trained: Any, reduced: Any) -> None:
    part = make_example(trained.dataset.test, 6)
    odd = {name: rows[part.position[name]].copy() for name, rows in part.inputs.items()}
    odd["picture"][-1] = 255 * (np.indices(odd["picture"][-1].shape).sum(0) % 2)
    odd["veins"][-1] = 1e30
    runtime = open_bundle(reduced[0]).runtime
    alone = runtime.run(part.first(5).batch())
    among = runtime.run(SplitArrays(odd, dict.fromkeys(odd, np.arange(6)), part.labels).batch())
    np.testing.assert_allclose(among.probabilities[:5], alone.probabilities, atol=1e-5)
    assert np.isfinite(among.probabilities).all()


def test_it_can_be_adapted(trained: Any, reduced: Any, tmp_path: Path) -> None:
    rows = unlabelled_rows(read_manifest(reduced[0]), trained.spec.table)
    found = find_adaptation(reduced[0], rows)
    manifest = adapt_bundle(reduced[0], found, rows, tmp_path / "adapted")
    assert manifest.precision == reduced[0].name
    with pytest.raises(UserError, match="is adapted; give the bundle it was made of"):
        reduce_bundle(as_float32(tmp_path / "adapted"), trained.spec.table, "int8", tmp_path / "again")


def as_float32(folder: Path) -> Path:
    """A bundle that claims to be of float32."""
    manifest = read_manifest(folder).model_copy(update={"reduction": None})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    return folder


def test_a_reduced_bundle_is_not_reduced_again(trained: Any, reduced: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"is {reduced[0].name} already"):
        reduce_bundle(reduced[0], trained.spec.table, "int8", tmp_path / "again")


def test_another_table_than_that_of_the_training_is_refused(trained: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(trained.spec.table.read_text() + "\n")
    for path, said in ((other, "is not the table that"), (tmp_path / "none.csv", "no such file")):
        with pytest.raises(UserError, match=f"--table: .*{said}"):
            reduce_bundle(trained.bundle, path, "int8", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_numbers_alone_are_not_reduced(trained: Any) -> None:
    numbers = {"age": TabularModality(columns=(), width=0)}
    manifest: Manifest = read_manifest(trained.bundle).model_copy(update={"modalities": numbers})
    with pytest.raises(UserError, match="no modality of kind image or text or series: int8 would change"):
        find_encoder_weights(manifest, "int8")


def test_a_fixed_spectrum_keeps_its_precision(trained: Any) -> None:
    series = {"sound": SeriesModality(columns=("s",), channels=(Channel(mean=0, scale=1),), length=64)}
    manifest: Manifest = read_manifest(trained.bundle).model_copy(update={"modalities": series})
    prefixes = find_encoder_weights(manifest, "int8")
    fixed = FixedSeries(series["sound"], width=4, dropout=0.0)
    reduced = [name for name in fixed.state_dict() if f"network.encoders.0.{name}".startswith(prefixes)]
    assert reduced == ["layers.1.weight", "layers.1.bias"]


def test_nothing_is_left_where_the_new_graph_fails(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_a_graph(path: Path, target: Path, weights: tuple[str, ...]) -> None:
        target.write_bytes(path.read_bytes()[:1000])

    monkeypatch.setattr(module, "convert_to_float16", half_a_graph)
    with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded"):
        reduce_bundle(trained.bundle, trained.spec.table, "float16", tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def asked(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors of `tailfuse export`."""
    done = CliRunner().invoke(main, ["export", *map(str, arguments)])
    logging.getLogger("tailfuse").handlers.clear()
    return done.exit_code, done.stdout, done.stderr


def test_the_command_shows_both_side_by_side_and_packs_a_zip(trained: Any, tmp_path: Path) -> None:
    status, text, _ = asked(trained.run, "--precision", "int8", "--out", tmp_path / "a.zip")
    assert status == 0
    for line in ("balanced accuracy", "few-shot classes", "calibration error", "µs a sample, batch 32"):
        assert line in text
    assert open_bundle(tmp_path / "a.zip").manifest.precision == "int8"


def test_the_command_speaks_json_and_warns_of_a_fall(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained.bundle, tmp_path / "bundle")
    calls = itertools.count(1)

    def wrong_at_last(run: Any, part: Any) -> Any:
        """The second graph to be asked gives its answers to other rows."""
        answers = predict_part(run, part)
        if next(calls) == 2:
            answers.probabilities[:] = np.roll(answers.probabilities, 1, axis=1)
        return answers

    monkeypatch.setattr(module, "predict_part", wrong_at_last)
    out = ("--out", tmp_path / "new", "--table", trained.spec.table, "--json")
    status, text, errors = asked(tmp_path / "bundle", "--precision", "float16", *out)
    assert status == 0
    told = json.loads(text)
    fell = told["float32"]["metrics"]["balanced_accuracy"] - told["float16"]["metrics"]["balanced_accuracy"]
    assert f"balanced accuracy falls by {100 * fell:.1f} points" in " ".join(errors.split())
    assert set(told["float16"]["microseconds"]) == {"1", "32"}


def test_the_command_says_what_is_missing(trained: Any, tmp_path: Path) -> None:
    refusals = {
        (trained.run, "--precision", "int8"): "needs --out",
        (trained.bundle, "--precision", "int8", "--out", tmp_path / "a"): "needs --table",
    }
    for arguments, said in refusals.items():
        status, _, errors = asked(*arguments)
        assert status == 1
        assert said in errors
