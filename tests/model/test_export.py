"""Both graphs: dynamic, checked on every subset, one file each, and nothing written when they differ."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tailfuse.calibration.calibration_set import fit_plda_heads
from tailfuse.data.split_arrays import Dataset, SplitArrays
from tailfuse.errors import ExportError
from tailfuse.export import bundle as module
from tailfuse.export import graphs as export
from tailfuse.export.bundle import make_manifest, write_bundle
from tailfuse.export.graphs import (
    TOLERANCE,
    check_parity,
    export_graphs,
    make_example,
    mix_subsets,
    run_eagerly,
)
from tailfuse.network.build import build_network
from tailfuse.network.confidence import SLOPE_PER_DEVIATION
from tailfuse.network.network import Network
from tailfuse.spec.schema import Spec, load_spec
from tailfuse_service.bundle import (
    GRAPHS,
    OUTPUT_NAMES,
    Batch,
    Output,
    open_bundle,
    open_graph,
    read_manifest,
)
from tailfuse_service.bundle.runtime import RuntimeName
from tailfuse_service.bundle.runtime_onnx import OnnxRuntime

from tests.support.projections import fill_projection

RUNTIMES: tuple[RuntimeName, ...] = ("onnx", "torchscript")


def untrained(spec: Spec, dataset: Dataset) -> Network:
    """A network whose answers are as sharp as a trained one's, without the training."""
    torch.manual_seed(0)
    network = build_network(spec, dataset).eval()
    assert isinstance(network, Network)
    fit_plda_heads(network, dataset.train, torch.device("cpu"))
    for head in (*network.heads, network.joint.head):
        torch.nn.init.normal_(head.linear.weight, std=0.5)
    n_experts = network.posteriors.pool_weights.shape[1]
    network.posteriors.pool_weights.copy_(torch.tensor([0.5, 0.2, 0.3][:n_experts]))
    for encoder in network.encoders:
        fill_projection(encoder)
    torch.nn.init.normal_(network.confidences.weight)
    network.confidences.per_deviation.fill_(SLOPE_PER_DEVIATION)
    return network


def measure_parity(spec: Spec, dataset: Dataset, folder: Path) -> dict[str, float]:
    network, example = untrained(spec, dataset), make_example(dataset.train, 24)
    export_graphs(network, example, folder)
    return check_parity(network, folder, make_manifest(network, spec, dataset), example)


def test_the_parity_of_every_subset_is_measured_and_written_down(trained: Any) -> None:
    parity = read_manifest(trained.bundle).parity
    assert set(parity) == set(RUNTIMES)
    assert all(0 <= worst <= TOLERANCE for worst in parity.values())


def test_an_example_has_every_modality_and_a_mixed_one_every_subset(trained: Any) -> None:
    example = make_example(trained.dataset.train, 28)
    assert example.presence().all()
    patterns, counts = np.unique(mix_subsets(example).presence(), axis=0, return_counts=True)
    assert len(patterns) == 7
    assert set(counts) == {4}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_batches_may_be_of_any_size_and_lack_any_modality(
    trained: Any, runtime: RuntimeName, size: int
) -> None:
    graph = open_graph(trained.bundle / GRAPHS[runtime], read_manifest(trained.bundle), runtime=runtime)
    for subset in (["picture"], ["veins"], ["note"], ["picture", "note"], ["picture", "veins", "note"]):
        batch = make_example(trained.dataset.test, size).only(subset).batch()
        expected, answered = run_eagerly(trained.network, batch), graph.run(batch)
        assert answered.probabilities.shape == (size, 3)
        for field in OUTPUT_NAMES:
            np.testing.assert_allclose(getattr(answered, field), getattr(expected, field), atol=TOLERANCE)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("length", [1, 3, 77])
def test_texts_may_be_of_another_length_than_the_examples(
    trained: Any, runtime: RuntimeName, length: int
) -> None:
    graph = open_graph(trained.bundle / GRAPHS[runtime], read_manifest(trained.bundle), runtime=runtime)
    texts = np.random.default_rng(0).integers(1, 65, (4, length, 2)).astype(np.int32)
    part = make_example(trained.dataset.test, 4)
    batch = SplitArrays(
        {**part.inputs, "note": texts}, {**part.position, "note": np.arange(4)}, part.labels
    ).batch()
    expected, answered = run_eagerly(trained.network, batch), graph.run(batch)
    np.testing.assert_allclose(answered.probabilities, expected.probabilities, atol=TOLERANCE)


def test_the_bundle_holds_what_its_manifest_says_and_opens_either_way(trained: Any) -> None:
    manifest = read_manifest(trained.bundle)  # checks the sums
    assert sorted(manifest.files) == ["MODEL_CARD.md", "model.onnx", "model.ts", "report.html"]
    assert sorted(file.name for file in trained.bundle.iterdir()) == sorted(
        [*manifest.files, "manifest.json"]
    )
    for runtime in RUNTIMES:
        bundle = open_bundle(trained.bundle, runtime=runtime)
        sample = bundle.sample({"note": "a round leaf"})
        assert bundle.run([sample]).weights.tolist() == [[0.0, 0.0, 1.0]]


def test_the_manifest_has_the_schedule_that_the_spec_left_open(trained: Any) -> None:
    assert trained.spec.training.patience is None
    written = read_manifest(trained.bundle).spec["training"]
    assert (written["epochs"], written["patience"], written["folds"]) == (6, 40, 2)


def test_the_onnx_graph_is_one_valid_file_without_a_batch_size(trained: Any) -> None:
    path = trained.bundle / "model.onnx"
    graph = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(graph, full_check=True)
    assert not any(each.data_location == onnx.TensorProto.EXTERNAL for each in graph.graph.initializer)
    assert all(each.type.tensor_type.shape.dim[0].dim_param for each in graph.graph.input)
    assert [each.name for each in graph.graph.input][:3] == ["presence", "picture", "picture.rows"]


@pytest.mark.parametrize("name", ["model.onnx", "model.ts", "manifest.json", "report.html", "MODEL_CARD.md"])
def test_nothing_in_a_bundle_tells_where_it_was_made(trained: Any, name: str) -> None:
    content = (trained.bundle / name).read_bytes()
    here = [str(trained.run), str(trained.spec.table.parent), str(Path(module.__file__).parent)]
    assert not [path for path in here if path.encode() in content]


@pytest.mark.slow
def test_seven_modalities_may_be_called_as_things_in_the_graph_are(lesions: Any, tmp_path: Path) -> None:
    names = ("train", "linear", "type", "forward", "presence_x", "add", "val_1")
    lines = "".join(
        f"  {name}: {{kind: tabular, columns: [{('age', 'sex')[i % 2]}]}}\n" for i, name in enumerate(names)
    )
    lesions.spec = lesions.spec.split("modalities:")[0] + f"modalities:\n{lines}network: {{width: 4}}\n"
    parity = measure_parity(load_spec(lesions.write()), lesions.load(), tmp_path)
    assert max(parity.values()) <= TOLERANCE


@pytest.mark.slow
def test_one_modality_is_enough(lesions: Any, tmp_path: Path) -> None:
    lesions.spec = lesions.spec.split("modalities:")[0] + (
        "modalities:\n  type: {kind: tabular, columns: [age]}\nnetwork: {width: 8, experts: [1]}\n"
    )
    parity = measure_parity(load_spec(lesions.write()), lesions.load(), tmp_path)
    assert max(parity.values()) <= TOLERANCE


@pytest.mark.slow
def test_the_pretrained_encoder_is_exported_beside_a_text(lesions: Any, tmp_path: Path) -> None:
    lesions.spec = lesions.spec.replace(
        "  clinical:\n    kind: tabular\n    columns: [age, sex, smoker]\n", ""
    )
    spec = load_spec(
        lesions.write(), ["modalities.image.encoder=efficientnet_lite0", "modalities.image.size=64"]
    )
    dataset = lesions.load("modalities.image.size=64")
    assert max(measure_parity(spec, dataset, tmp_path).values()) <= TOLERANCE


def tamper(folder: Path, runtime: RuntimeName) -> None:
    """Double the largest weights of a graph."""
    path = folder / GRAPHS[runtime]
    if runtime == "onnx":
        graph = onnx.load(path)
        numbers = (each for each in graph.graph.initializer if each.data_type == onnx.TensorProto.FLOAT)
        largest = max(numbers, key=lambda each: len(each.raw_data))
        largest.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(largest), largest.name))
        onnx.save(graph, path)
        return
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    constants = (name for name in entries if "/constants/" in name and len(entries[name]) % 4 == 0)
    largest = max(constants, key=lambda name: len(entries[name]))
    entries[largest] = (2 * np.frombuffer(entries[largest], np.float32)).tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


@pytest.fixture(params=RUNTIMES)
def tampered(request: pytest.FixtureRequest, trained: Any, tmp_path: Path) -> tuple[Path, str]:
    """A folder with both graphs of the trained network, one of them tampered with, and which."""
    folder = tmp_path / "graphs"
    folder.mkdir()
    for name in GRAPHS.values():
        shutil.copy(trained.bundle / name, folder)
    tamper(folder, request.param)
    return folder, GRAPHS[request.param]


def test_a_graph_that_was_tampered_with_is_found_out(trained: Any, tampered: Any) -> None:
    folder, name = tampered
    example = make_example(trained.dataset.train, 16)
    with pytest.raises(ExportError) as raised:
        check_parity(trained.network, folder, read_manifest(trained.bundle), example)
    assert str(raised.value).startswith(f"{name} is ")
    assert " from the network in " in str(raised.value)
    assert str(raised.value).endswith("0.0001 is allowed. No bundle was written.")


def test_a_graph_that_answers_nan_is_found_out(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Runtime:
        def run(self, batch: Batch) -> Output:
            fields = (getattr(run_eagerly(trained.network, batch), field) for field in OUTPUT_NAMES)
            return Output(*(np.full_like(field, np.nan) for field in fields))

    monkeypatch.setattr(export, "open_graph", lambda *_, **__: Runtime())
    manifest, example = read_manifest(trained.bundle), make_example(trained.dataset.train, 4)
    with pytest.raises(ExportError, match="is nan from the network"):
        check_parity(trained.network, tmp_path, manifest, example)


def test_embeddings_that_differ_are_found_out(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    embed = OnnxRuntime.embed

    def embed_badly(self: OnnxRuntime, batch: Batch) -> Any:
        modalities, fused = embed(self, batch)
        return modalities, np.where(fused == fused.max(), np.nan, fused)

    monkeypatch.setattr(OnnxRuntime, "embed", embed_badly)
    manifest, example = read_manifest(trained.bundle), make_example(trained.dataset.train, 4)
    with pytest.raises(ExportError, match=r"model\.onnx is nan from the network in embedding\.fused on "):
        check_parity(trained.network, trained.bundle, manifest, example)


def graphs_from(source: Path) -> Any:
    """Stands in for export_graphs."""

    def copy(network: Network, example: SplitArrays, folder: Path) -> None:
        for name in GRAPHS.values():
            shutil.copy(source / name, folder)

    return copy


@pytest.mark.parametrize("before", ["nothing", "a bundle"])
def test_no_bundle_is_written_when_a_graph_differs_and_an_old_one_survives(
    trained: Any, tampered: Any, before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "bundle"
    if before == "a bundle":
        shutil.copytree(trained.bundle, target)
    monkeypatch.setattr(module, "export_graphs", graphs_from(tampered[0]))
    with pytest.raises(ExportError, match=tampered[1]):
        write_bundle(trained.network, trained.spec, trained.dataset, [], target)
    if before == "a bundle":
        assert read_manifest(target) == read_manifest(trained.bundle)
        assert [each.name for each in target.parent.iterdir()] == ["bundle"]
    else:
        assert list(target.parent.iterdir()) == []


def test_a_new_bundle_takes_the_place_of_an_old_one(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    shutil.copytree(trained.bundle, target)
    (target / "notes.txt").write_text("of the old bundle")
    monkeypatch.setattr(module, "export_graphs", graphs_from(trained.bundle))
    renamed = trained.spec.model_copy(update={"version": "2"})
    written = write_bundle(trained.network, renamed, trained.dataset, [], target)
    assert read_manifest(target) == written
    assert written.version == "2"
    assert not (target / "notes.txt").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["bundle"]
