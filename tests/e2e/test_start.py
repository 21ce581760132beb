"""What cannot be served is refused at the start: by one sentence, and never by a traceback."""

import json
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import Service, environment, ran

pytestmark = pytest.mark.e2e


def refused(*arguments: str, code: int) -> str:
    """The one sentence of a service that does not start."""
    done = ran(sys.executable, "-m", "tailfuse_service", *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    sentence = done.stderr.strip().splitlines()
    assert len(sentence) == 1 or code == 2, done.stderr  # click shows the usage above its sentence
    return sentence[-1]


def change_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def damage_graph(folder: Path) -> None:
    graph = folder / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json"),
    "half a manifest": (lambda folder: (folder / "manifest.json").write_text('{"name"'), "manifest.json"),
    "a newer format": (lambda folder: change_manifest(folder, format_version=2), "format_version 2"),
    "a key too many": (lambda folder: change_manifest(folder, colour="red"), "colour"),
    "a flipped bit": (damage_graph, "model.onnx is damaged"),
    "no graph": (lambda folder: (folder / "model.onnx").unlink(), "model.onnx is missing"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_bundle_is_refused(
    bundle_folder: Path, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_folder, folder)
    damage(folder)
    sentence = refused(str(folder), "--port", "0", code=1)
    assert said in sentence
    assert str(folder) in sentence


def test_no_such_bundle(tmp_path: Path) -> None:
    assert refused(str(tmp_path / "none"), code=1) == f"tailfuse: {tmp_path / 'none'}: no such bundle"


def test_a_file_that_is_no_zip(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_text("no zip")
    assert str(tmp_path / "bundle.zip") in refused(str(tmp_path / "bundle.zip"), code=1)


def test_a_port_in_use(bundle_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused(str(bundle_folder), "--port", str(port), code=1)
    assert f"127.0.0.1:{port}" in sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "TAILFUSE_BUNDLE"),
        (["bundle", "--port", "http"], "--port"),
        (["bundle", "--port", "65536"], "--port"),
        (["bundle", "--runtime", "tensorrt"], "--runtime"),
        (["bundle", "--colour", "red"], "--colour"),
    ],
    ids=["no bundle", "a port that is no number", "a port too high", "no such runtime", "no such flag"],
)
def test_a_wrong_flag(arguments: list[str], said: str) -> None:
    assert said in refused(*arguments, code=2)


def test_a_variable_does_what_its_flag_does(bundle_folder: Path) -> None:
    done = ran(
        sys.executable, "-m", "tailfuse_service", str(bundle_folder), env=environment(TAILFUSE_PORT="none")
    )  # fmt: skip
    assert done.returncode == 2
    assert "TAILFUSE_PORT" in done.stderr


def test_serving_leaves_nothing_in_the_home_folder(
    start: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime would keep there what it reports to its makers."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    assert start().stop() == 0
    assert list(home.rglob("*")) == []
