"""Servers of stores on this machine: S3 by moto, a registry of containers, and a web server."""

import http.server
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.ports import find_free_port
from tests.support.process import until
from tests.support.programs import locate

S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def serve_s3(*buckets: str) -> Iterator[dict[str, str]]:
    """Serve buckets over the protocol of S3. The value are the variables that a client needs."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1",
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )  # fmt: skip
        for bucket in buckets:
            client.create_bucket(Bucket=bucket)
        yield {**S3_VARIABLES, "AWS_ENDPOINT_URL": url}
    finally:
        server.stop()


@contextmanager
def serve_registry(folder: Path) -> Iterator[str]:
    """Serve Debian's registry of containers, whose host and port are the value."""
    port = find_free_port()
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}', secret: tests}}\n"
    )
    with run_server([locate("docker-registry"), "serve", str(config)], port):
        yield f"127.0.0.1:{port}"


@contextmanager
def run_server(command: list[str], port: int, variables: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server from when its port answers."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a command may be a script that starts the server
    )

    def answers() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        assert process.poll() is None, f"{command[0]} has ended"
        return False

    try:
        until(answers, "the server answers")
        yield
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


class FolderHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and answers differently where `answers` has a function for the path."""

    answers: dict[str, Callable[["FolderHandler"], None]]

    def __init__(self, *args: Any, answers: dict[str, Callable[["FolderHandler"], None]], **kwargs: Any):
        self.answers = answers
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        answer = self.answers.get(self.path)
        if answer is None:
            super().do_GET()
        else:
            answer(self)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serve_folder(
    folder: Path, answers: dict[str, Callable[[FolderHandler], None]] | None = None
) -> Iterator[str]:
    """Serve a folder over HTTP with pages that list it. The value is its address."""
    handler = partial(FolderHandler, directory=os.fspath(folder), answers={} if answers is None else answers)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
