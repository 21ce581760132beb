"""A web server as a store: one that lists folders, and ones that lie, stall or lead elsewhere."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tailfuse
from tailfuse_service.bundle import BundleError
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.cache import BundleCache
from tailfuse_service.stores.fetch import Limits
from tailfuse_service.stores.mirror import Mirror

from tests.support.bundles import write_tiny_bundle
from tests.support.stores import FolderHandler, serve_folder

pytest.importorskip("aiohttp", reason="the base install has no stores")

Answers = dict[str, Callable[[FolderHandler], None]]


@pytest.fixture
def answers() -> Answers:
    """What the server answers in the place of files, by path."""
    return {}


@pytest.fixture
def site(tmp_path: Path, answers: Answers) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    write_tiny_bundle(tmp_path / "site" / "1", version="1")
    with serve_folder(tmp_path / "site", answers) as url:
        yield url


def make_mirror(url: str, tmp_path: Path, max_bytes: int = 10**6, timeout_s: float = 60) -> Mirror:
    address = Address("http", url.removeprefix("http://"))
    return Mirror(address, BundleCache(tmp_path / "cache"), Limits(max_bytes), poll_s=0, timeout_s=timeout_s)


def test_a_bundle_is_pulled_from_a_web_server(site: str, tmp_path: Path) -> None:
    assert tailfuse.pull(f"{site}/1", tmp_path / "copy").version == "1"
    with pytest.raises(BundleError, match="can only be read"):
        tailfuse.push(tmp_path / "copy", f"{site}/2")


def test_the_folders_of_a_page_are_followed(site: str, tmp_path: Path) -> None:
    mirror = make_mirror(site, tmp_path)
    mirror.start()
    write_tiny_bundle(tmp_path / "site" / "a b", version="2")
    (tmp_path / "site" / "notes").mkdir()
    mirror.follow()
    assert mirror.names == ["1", "a b"]


@pytest.mark.parametrize(
    ("status", "says"),
    [(404, "nothing is there"), (403, "access denied"), (401, "access denied"), (500, "500")],
)
def test_a_status_is_told_in_words(
    site: str, answers: Answers, tmp_path: Path, status: int, says: str
) -> None:
    for path in ("/x/manifest.json", "/x/"):
        answers[path] = lambda handler: handler.answer(status)
    with pytest.raises(BundleError, match=rf"^{site}/x: .*{says}"):
        tailfuse.pull(f"{site}/x", tmp_path / "copy")


def test_endless_bytes_end_at_the_limit(site: str, answers: Answers, tmp_path: Path) -> None:
    sent = 0

    def send_forever(handler: FolderHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        try:
            while sent < 10**10:
                sent += handler.wfile.write(bytes(100_000))
        except OSError:
            pass  # the other side has had enough

    answers["/1/model.onnx"] = send_forever
    with pytest.raises(BundleError, match="more bytes than the limit allows"):
        make_mirror(f"{site}/1", tmp_path).start()
    assert sent < 10**8  # what lies in buffers on the way is more than the limit
    answers["/1/manifest.json"] = lambda handler: handler.answer(404)
    answers["/1/"] = send_forever
    with pytest.raises(BundleError, match="lists more than"):
        make_mirror(f"{site}/1", tmp_path).start()


def test_an_answer_that_ends_too_early_is_refused(site: str, answers: Answers, tmp_path: Path) -> None:
    def send_half(handler: FolderHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.wfile.write(b"half")

    answers["/1/model.onnx"] = send_half
    with pytest.raises(BundleError, match=f"^{site}/1: "):
        tailfuse.pull(f"{site}/1", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_server_that_stalls_ends_a_start_at_the_time_limit(
    site: str, answers: Answers, tmp_path: Path
) -> None:
    go_on = threading.Event()

    def stall(handler: FolderHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"{")
        handler.wfile.flush()
        go_on.wait(60)

    answers["/1/manifest.json"] = stall
    try:
        with pytest.raises(BundleError, match=r"no answer within 0\.3 s"):
            make_mirror(f"{site}/1", tmp_path, timeout_s=0.3).start()
    finally:
        go_on.set()


def test_a_redirect_to_an_address_that_is_not_encrypted_is_refused(
    site: str, answers: Answers, tmp_path: Path
) -> None:
    moved = {"Location": "http://models.example.org/manifest.json?Signature=hunter2"}
    answers["/1/manifest.json"] = lambda handler: handler.answer(302, headers=moved)
    with pytest.raises(BundleError, match=r"models\.example\.org, which is not encrypted") as refused:
        tailfuse.pull(f"{site}/1", tmp_path / "copy")
    assert "hunter2" not in str(refused.value)
    answers["/1/manifest.json"] = lambda handler: handler.answer(
        302, headers={"Location": f"{site}/1/m.json"}
    )
    (tmp_path / "site/1/manifest.json").rename(tmp_path / "site/1/m.json")
    assert tailfuse.pull(f"{site}/1", tmp_path / "copy").version == "1"


def test_a_page_names_no_folder_of_another_place(site: str, answers: Answers, tmp_path: Path) -> None:
    links = ["../", "/etc/", "http://127.0.0.1:1/x/", "..%2f..%2fetc/", "1/?x=/", "a%00b/", "1", "#/", "./1/"]
    page = "".join(f"<a href='{link}'>x</a>" for link in links)
    answers["/"] = lambda handler: handler.answer(200, page.encode())
    mirror = make_mirror(site, tmp_path)
    mirror.start()
    assert mirror.names == ["1"]
