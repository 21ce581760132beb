"""Registries of containers: Debian's, and answers of one that lies."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tailfuse
from tailfuse_service.bundle import BundleError
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.cache import BundleCache
from tailfuse_service.stores.fetch import Limits
from tailfuse_service.stores.mirror import Mirror

from tests.support.bundles import write_tiny_bundle
from tests.support.stores import FolderHandler, serve_folder, serve_registry

pytest.importorskip("requests", reason="the base install has no stores")

needs_registry = pytest.mark.needs("docker-registry")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@needs_registry
def test_a_bundle_goes_to_a_registry_and_back(registry: str, tiny_bundle: Path, tmp_path: Path) -> None:
    address = f"oci://{registry}/acme/skin:3"
    pushed = tailfuse.push(tiny_bundle, address)
    assert tailfuse.pull(address, tmp_path / "copy") == pushed
    for file in tiny_bundle.iterdir():
        assert (tmp_path / "copy" / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(BundleError, match="the tag is there already; push to a new one"):
        tailfuse.push(tiny_bundle, address)
    with pytest.raises(BundleError, match="nothing is there"):
        tailfuse.pull(f"oci://{registry}/acme/skin:4", tmp_path / "other")
    with pytest.raises(BundleError, match="nothing is there"):
        tailfuse.pull(f"oci://{registry}/nobody", tmp_path / "other")


@needs_registry
def test_an_artifact_has_a_layer_for_each_file(registry: str, tiny_bundle: Path, tmp_path: Path) -> None:
    import requests

    tailfuse.push(tiny_bundle, f"oci://{registry}/layout:3")
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    answer = requests.get(f"http://{registry}/v2/layout/manifests/3", headers=accept, timeout=60)
    artifact = answer.json()
    assert artifact["artifactType"] == "application/vnd.tailfuse.bundle.v1"
    assert [layer["annotations"]["org.opencontainers.image.title"] for layer in artifact["layers"]] == [
        "model.onnx", "manifest.json",
    ]  # fmt: skip
    pinned = f"oci://{registry}/layout@sha256:{hashlib.sha256(answer.content).hexdigest()}"
    assert tailfuse.pull(pinned, tmp_path / "copy").version == "3"


@needs_registry
def test_the_tags_of_a_repository_are_followed(registry: str, tmp_path: Path) -> None:
    def push(version: str, *tags: str) -> None:
        folder = write_tiny_bundle(tmp_path / f"b{version}", version=version)
        for tag in tags:
            tailfuse.push(folder, f"oci://{registry}/followed:{tag}")

    push("1", "1", "latest")
    address = Address("oci", f"{registry}/followed")
    mirror = Mirror(address, BundleCache(tmp_path / "cache"), Limits(), poll_s=0, timeout_s=60)
    mirror.start()
    assert mirror.names == ["1"]  # of both tags
    push("2", "2")
    mirror.follow()
    assert mirror.names == ["1", "2"]


ONE = "/v2/skin/manifests/1"


def make_artifact(folder: Path, **changes: Any) -> tuple[bytes, dict[str, bytes]]:
    """Return an artifact of a bundle and its blobs, by path."""
    layers, blobs = [], {}
    for file in sorted(folder.iterdir()):
        digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        blobs[f"/v2/skin/blobs/{digest}"] = file.read_bytes()
        title = {"org.opencontainers.image.title": file.name}
        layers.append({"digest": digest, "annotations": title})
    return json.dumps({"layers": layers} | changes).encode(), blobs


Answers = dict[str, Callable[[FolderHandler], None]]


@pytest.fixture
def answers(tiny_bundle: Path) -> Answers:
    """A registry that holds the tiny bundle under the tag 1, by path; a test changes some answers."""
    artifact, blobs = make_artifact(tiny_bundle)
    return {path: reply(body) for path, body in {ONE: artifact, **blobs}.items()}


def reply(body: bytes, status: int = 200, **headers: str) -> Callable[[FolderHandler], None]:
    return lambda handler: handler.answer(status, body, headers)


@pytest.fixture
def host(tmp_path: Path, answers: Answers) -> Iterator[str]:
    with serve_folder(tmp_path, answers) as url:
        yield url.removeprefix("http://")


@pytest.mark.parametrize(
    ("artifact", "says"),
    [
        (b"<html>", "expected a JSON object"),
        (b"[]", "expected a JSON object"),
        (b"[" * 100_000, "expected a JSON object"),
        (b"{}", "nothing is there"),
        (b'{"layers": [1, {"digest": "sha256:../../etc"}, {"annotations": []}]}', "nothing is there"),
        (bytes(5_000_000), "more than"),
    ],
    ids=["html", "list", "deep", "empty", "strange layers", "long"],
)
def test_an_artifact_that_is_none_is_refused(
    host: str, answers: Answers, tmp_path: Path, artifact: bytes, says: str
) -> None:
    answers[ONE] = reply(artifact)
    with pytest.raises(BundleError, match=rf"^oci://{host}/skin:1: .*{says}"):
        tailfuse.pull(f"oci://{host}/skin:1", tmp_path / "copy")


def test_a_digest_pins_what_is_fetched(
    host: str, answers: Answers, tiny_bundle: Path, next_bundle: Path, tmp_path: Path
) -> None:
    artifact, _ = make_artifact(tiny_bundle)
    digest = f"sha256:{hashlib.sha256(artifact).hexdigest()}"
    answers[f"/v2/skin/manifests/{digest}"] = answers[ONE]
    assert tailfuse.pull(f"oci://{host}/skin:1@{digest}", tmp_path / "copy").version == "3"
    [first, *_] = [path for path in answers if "/blobs/" in path]
    answers[first] = reply((next_bundle / "manifest.json").read_bytes())
    with pytest.raises(BundleError, match="another blob than"):
        tailfuse.pull(f"oci://{host}/skin@{digest}", tmp_path / "other")
    answers[f"/v2/skin/manifests/{digest}"] = reply(make_artifact(next_bundle)[0])
    with pytest.raises(BundleError, match="another manifest than"):
        tailfuse.pull(f"oci://{host}/skin@{digest}", tmp_path / "other")


def keep_password(folder: Path, host: str) -> None:
    """Write what `docker login` does."""
    auth = base64.b64encode(b"me:hunter2").decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_a_token_is_fetched_with_the_password_of_docker_login(
    host: str, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    keep_password(tmp_path, host)
    challenge = f'Bearer realm="http://{host}/token",service="tests",scope="repository:skin:pull"'

    def guard(then: Callable[[FolderHandler], None]) -> Callable[[FolderHandler], None]:
        def answer(handler: FolderHandler) -> None:
            if handler.headers["Authorization"] == "Bearer abc":
                then(handler)
            else:
                handler.answer(401, headers={"WWW-Authenticate": challenge})

        return answer

    def give_token(handler: FolderHandler) -> None:
        is_known = handler.headers["Authorization"] == f"Basic {base64.b64encode(b'me:hunter2').decode()}"
        handler.answer(200 if is_known else 401, b'{"token": "abc"}')

    answers |= {path: guard(answer) for path, answer in answers.items()}
    answers["/token?service=tests&scope=repository%3Askin%3Apull"] = give_token
    assert tailfuse.pull(f"oci://{host}/skin:1", tmp_path / "copy").version == "3"
    (tmp_path / "config.json").unlink()
    with pytest.raises(BundleError, match="access denied"):
        tailfuse.pull(f"oci://{host}/skin:1", tmp_path / "other")


def test_a_registry_may_ask_for_the_password_itself(
    host: str, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    keep_password(tmp_path, host)
    artifact = answers[ONE]

    def answer(handler: FolderHandler) -> None:
        if handler.headers["Authorization"] == f"Basic {base64.b64encode(b'me:hunter2').decode()}":
            artifact(handler)
        else:
            handler.answer(401, headers={"WWW-Authenticate": 'Basic realm="tests"'})

    answers[ONE] = answer
    assert tailfuse.pull(f"oci://{host}/skin:1", tmp_path / "copy").version == "3"


def test_a_password_is_not_sent_where_it_is_not_encrypted(
    host: str, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    keep_password(tmp_path, host)
    challenge = {"WWW-Authenticate": 'Bearer realm="http://thief.example.org/token"'}
    answers[ONE] = reply(b"", 401, **challenge)
    with pytest.raises(BundleError, match="asks to log in at 'http://thief"):
        tailfuse.pull(f"oci://{host}/skin:1", tmp_path / "copy")


@pytest.mark.parametrize("path", ["skin", "h/SKIN:1", "h/skin:", "h/skin:a b", "h/skin@sha256:12", "h/a:b:c"])
def test_an_address_of_another_form_is_refused(tiny_bundle: Path, path: str) -> None:
    with pytest.raises(Exception, match="address"):
        tailfuse.push(tiny_bundle, f"oci://{path}")


def test_a_push_names_a_tag(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="push to a tag, as in"):
        tailfuse.push(tiny_bundle, "oci://127.0.0.1:1/skin")
