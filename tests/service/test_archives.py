"""A bundle from a stranger: an archive or a graph that means harm is refused with one sentence."""

import json
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from tailfuse_service.bundle import MANIFEST, BundleError, open_bundle, pack, sha256


def make_archive(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> None:
    """Overwrite a field of the first header of this kind."""
    data = bytearray(path.read_bytes())
    at = data.index(signature) + offset
    data[at : at + len(value)] = value
    path.write_bytes(data)


CENTRAL = b"PK\x01\x02"


def ten_gigabytes(path: Path) -> None:
    """30 kB of zeros that are said to become 4 GiB less one byte, three times."""
    make_archive(path, *((f"{n}.bin", bytes(10_000)) for n in range(3)))
    data = path.read_bytes().split(CENTRAL)
    huge = struct.pack("<I", 0xFFFFFFFE)
    path.write_bytes(CENTRAL.join([data[0], *(part[:20] + huge + part[24:] for part in data[1:])]))


def encrypted(path: Path) -> None:
    make_archive(path, ("model.onnx", b"x"))
    patched(path, CENTRAL, 8, b"\x01\x00")


def unknown_compression(path: Path) -> None:
    make_archive(path, ("model.onnx", b"x"))
    patched(path, CENTRAL, 10, b"\x63\x00")


def damaged(path: Path) -> None:
    make_archive(path, ("model.onnx", bytes(range(256)) * 50))
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)


def twice(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        make_archive(path, ("manifest.json", b"{}"), ("manifest.json", b"{}"))


ARCHIVES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a path upwards": (lambda path: make_archive(path, ("../evil", b"x")), "does not belong"),
    "an absolute path": (lambda path: make_archive(path, ("/tmp/evil", b"x")), "does not belong"),
    "a path of Windows": (lambda path: make_archive(path, ("..\\evil", b"x")), "does not belong"),
    "a folder": (lambda path: make_archive(path, ("folder/", b"")), "does not belong"),
    "two dots": (lambda path: make_archive(path, ("..", b"x")), "does not belong"),
    "no name": (lambda path: make_archive(path, (".", b"x")), "does not belong"),
    "a link": (
        lambda path: make_archive(path, (entry("model.onnx", stat.S_IFLNK | 0o777), b"/etc/passwd")),
        "'model.onnx' is not a plain file",
    ),
    "a device": (
        lambda path: make_archive(path, (entry("model.onnx", stat.S_IFCHR), b"")),
        "not a plain file",
    ),
    "a name twice": (twice, "'manifest.json' is there twice"),
    "ten gigabytes": (ten_gigabytes, "unpacks to 12,884,901,882 bytes, at most 4,294,967,296"),
    "an encrypted entry": (encrypted, "'model.onnx' is encrypted"),
    "an unknown compression": (unknown_compression, "neither a bundle's folder nor a .zip"),
    "a damaged entry": (damaged, "neither a bundle's folder nor a .zip"),
}


@pytest.mark.parametrize(("make", "says"), ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_means_harm_is_refused(
    tmp_path: Path, make: Callable[[Path], Any], says: str
) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    make(folder / "evil.zip")
    with pytest.raises(BundleError) as refusal:
        open_bundle(folder / "evil.zip")
    assert says in refusal.value.detail
    assert "\n" not in refusal.value.detail
    assert [file.name for file in folder.iterdir()] == ["evil.zip"]
    assert [file.name for file in tmp_path.iterdir()] == ["inner"]


def test_what_an_entry_holds_beyond_its_word_is_not_unpacked(tiny_bundle: Path, tmp_path: Path) -> None:
    packed = tmp_path / "tiny.zip"
    pack(tiny_bundle, packed)
    patched(packed, CENTRAL, 24, struct.pack("<I", 7))
    with pytest.raises(BundleError, match="neither a bundle's folder nor a"):
        open_bundle(packed)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_half_an_archive_is_refused(tiny_bundle: Path, tmp_path: Path, share: float) -> None:
    packed = tmp_path / "tiny.zip"
    pack(tiny_bundle, packed)
    data = packed.read_bytes()
    packed.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BundleError, match="neither a bundle's folder nor a"):
        open_bundle(packed)


def graph_reading(location: str) -> bytes:
    """A graph whose weights are in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", "16")):
        weights.external_data.add(key=key, value=value)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "reader", [], [result], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    assert isinstance(model, onnx.ModelProto)
    return bytes(model.SerializeToString())


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


GRAPHS: dict[str, Callable[[bytes], bytes]] = {
    "cut short": cut,
    "empty": lambda _: b"",
    "with weights in /etc/passwd": lambda _: graph_reading("/etc/passwd"),
    "with weights in the folder above": lambda _: graph_reading("../secret"),
    "with other inputs": lambda data: data.replace(b"clinical.rows", b"clinical.cows"),
}


@pytest.mark.parametrize("change", GRAPHS.values(), ids=GRAPHS)
def test_a_graph_that_is_not_ours_is_refused_though_its_sum_is_right(
    tiny_bundle: Path, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "copy")
    (tmp_path / "secret").write_bytes(bytes(16))
    graph = folder / "model.onnx"
    before = graph.read_bytes()
    graph.write_bytes(change(before))
    assert graph.read_bytes() != before
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] |= {"model.onnx": sha256(graph)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError) as refusal:
        open_bundle(folder)
    assert "\n" not in refusal.value.detail


def test_a_manifest_of_absurd_shapes_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_bundle, tmp_path / "copy")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["modalities"]["image"] |= {"height": 10**9, "width": 10**9}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"too large|less than or equal to|width is"):
        open_bundle(folder)
