"""A bundle is opened whole or refused with one sentence."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tailfuse_service.bundle import MANIFEST, Bundle, BundleError, atomic_folder, open_bundle, pack, sha256
from tailfuse_service.bundle import bundle as bundle_module


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle to be spoilt."""
    return shutil.copytree(tiny_bundle, tmp_path / "copy")


def change(folder: Path, **values: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | values))


def graph(*dims: int) -> bytes:
    """A graph that is no bundle's."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, dims)
    node = helper.make_node("Identity", ["x"], ["y"])
    model = helper.make_model(
        helper.make_graph([node], "foreign", [value], [result]),
        opset_imports=[helper.make_opsetid("", 18)], ir_version=9,
    )  # fmt: skip
    assert isinstance(model, onnx.ModelProto)
    return bytes(model.SerializeToString())


def foreign(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(graph(1))
    change(folder, files={"model.onnx": sha256(folder / "model.onnx")})


def no_graph(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"not a graph")
    change(folder, files={"model.onnx": sha256(folder / "model.onnx")})


def no_graph_at_all(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    change(folder, files={})


def more_classes(folder: Path) -> None:
    classes = json.loads((folder / MANIFEST).read_text())["classes"]
    change(folder, classes=[*classes, {**classes[0], "name": "fourth"}])


def two_classes_of_one_name(folder: Path) -> None:
    classes = json.loads((folder / MANIFEST).read_text())["classes"]
    change(folder, classes=[*classes[:-1], classes[0]])


def change_modality(kind: str, **values: Any) -> Callable[[Path], Any]:
    """Make the change of what the manifest says of the first modality of a kind."""

    def spoil(folder: Path) -> None:
        modalities = json.loads((folder / MANIFEST).read_text())["modalities"]
        name = next(name for name, each in modalities.items() if each["kind"] == kind)
        change(folder, modalities={**modalities, name: {**modalities[name], **values}})

    return spoil


SPOILT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "is not a bundle"),
    "half a manifest": (lambda folder: (folder / MANIFEST).write_text('{"name":'), "manifest.json"),
    "another version": (
        lambda folder: change(folder, format_version=2),
        "format_version 2, this tailfuse reads 1",
    ),
    "an unknown key": (lambda folder: change(folder, colour="red"), "colour"),
    "a wrong type": (lambda folder: change(folder, classes="all"), "classes"),
    "a missing graph": (lambda folder: (folder / "model.onnx").unlink(), "model.onnx is missing"),
    "a damaged graph": (
        lambda folder: (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"x"),
        "model.onnx is damaged",
    ),
    "a path in its files": (
        lambda folder: change(folder, files={"../model.onnx": "0"}),
        "not a plain file name",
    ),
    "a file that the manifest does not list": (
        lambda folder: (folder / "weights.bin").write_bytes(b"x"),
        "'weights.bin' is not listed in manifest.json",
    ),
    "no graph in its files": (
        no_graph_at_all,
        "cannot be served with runtime 'onnx'",
    ),
    "a graph that is none": (no_graph, "model.onnx cannot be loaded"),
    "a foreign graph": (foreign, "the graph does not run"),
    "a class that is there twice": (two_classes_of_one_name, "is there twice"),
    "a row of a terabyte": (change_modality("tabular", width=2**38), "width is 274,877,906,944, but"),
    "an image of a terabyte": (change_modality("image", height=2**20, width=2**20), "height"),
    "a text of a terabyte": (change_modality("text", max_tokens=2**37), "max_tokens"),
    "a graph of other classes": (more_classes, "the graph's classes are not the manifest's"),
}


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_bundle_is_refused_with_one_sentence(
    copy: Path, spoil: Callable[[Path], Any], says: str
) -> None:
    spoil(copy)
    with pytest.raises(BundleError) as refusal:
        open_bundle(copy)
    assert says in refusal.value.detail
    assert "\n" not in refusal.value.detail


def test_a_graph_that_is_replaced_after_its_sum_was_checked_is_refused(
    copy: Path, next_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_another(graph: Path, *arguments: Any, **settings: Any) -> Any:
        shutil.copy(next_bundle / graph.name, graph.with_suffix(".new"))
        os.replace(graph.with_suffix(".new"), graph)
        return open_graph(graph, *arguments, **settings)

    open_graph = bundle_module.open_graph
    monkeypatch.setattr(bundle_module, "open_graph", open_another)
    with pytest.raises(BundleError, match="copy was replaced while it was opened"):
        open_bundle(copy)


def test_a_zip_is_opened_like_its_folder(tiny_bundle: Path, bundle: Bundle, tmp_path: Path) -> None:
    pack(tiny_bundle, tmp_path / "tiny.zip")
    packed = open_bundle(tmp_path / "tiny.zip")
    assert packed.manifest == bundle.manifest
    sample = bundle.sample({"notes": "spot"})
    np.testing.assert_array_equal(packed.run([sample]).probabilities, bundle.run([sample]).probabilities)


def test_packing_twice_gives_the_same_bytes(tiny_bundle: Path, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        pack(tiny_bundle, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_neither_folder_nor_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        open_bundle(tmp_path / "nowhere")
    (tmp_path / "file").write_text("hello")
    with pytest.raises(BundleError, match=r"neither a bundle's folder nor a \.zip"):
        open_bundle(tmp_path / "file")


def test_a_zip_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.txt", "x")
    with pytest.raises(BundleError, match="does not belong into a bundle"):
        open_bundle(tmp_path / "evil.zip")
    assert not (tmp_path.parent / "evil.txt").exists()


def test_another_device_or_runtime_than_there_is_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="cannot be served with runtime 'torchscript'"):
        open_bundle(tiny_bundle, runtime="torchscript")


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with atomic_folder(target) as folder:
        (folder / "a").write_text("old")

    def fail_half_way() -> None:
        with atomic_folder(target) as folder:
            (folder / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert (target / "a").read_text() == "old"
    with atomic_folder(target) as folder:
        (folder / "b").write_text("new")
    assert [file.name for file in target.iterdir()] == ["b"]
    assert [file.name for file in tmp_path.iterdir()] == ["bundle"]
