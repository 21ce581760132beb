"""The init container's script: a bundle that arrives whole is kept, any other is refused with a sentence."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "helm" / "tailfuse" / "files" / "download.py"
CONTENT = bytes(range(256)) * 10_000
SUM = hashlib.sha256(CONTENT).hexdigest()


class Store(BaseHTTPRequestHandler):
    """Has /bundle.zip, says that /short.zip is longer than it is, and does not speak HTTP at /noise."""

    def do_GET(self) -> None:
        if self.path == "/noise":
            self.wfile.write(b"\x00\x01 what?\r\n\r\n")
            return
        if self.path not in ("/bundle.zip", "/short.zip"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if self.path == "/bundle.zip" else CONTENT[:1000])

    def log_message(self, *args: object) -> None:
        """Write nothing."""


@pytest.fixture
def store() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def download(url: str, expected: str, target: Path) -> subprocess.CompletedProcess[str]:
    """Run the script as the chart does: its text, not its file."""
    command = [sys.executable, "-c", SCRIPT.read_text(), url, expected, str(target)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_bundle_with_the_right_sum_is_kept(store: str, tmp_path: Path) -> None:
    target = tmp_path / "bundle.zip"
    done = download(f"{store}/bundle.zip", SUM, target)
    assert (done.returncode, done.stderr) == (0, "")
    assert target.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.zip"]


@pytest.mark.parametrize(
    ("path", "expected", "told"),
    [
        ("/bundle.zip", "0" * 64, f"has the sha256 {SUM}, expected {'0' * 64}"),
        ("/short.zip", SUM, "has the sha256"),
        ("/other.zip", SUM, "could not be downloaded: HTTP Error 404"),
        ("/noise", SUM, "could not be downloaded"),
        ("/with space", SUM, "could not be downloaded"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(
    store: str, tmp_path: Path, path: str, expected: str, told: str
) -> None:
    target = tmp_path / "bundle.zip"
    done = download(store + path, expected, target)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not target.exists()


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = download("http://127.0.0.1:9/bundle.zip", SUM, tmp_path / "bundle.zip")
    assert done.returncode == 1
    assert "could not be downloaded" in done.stderr
