"""A server with the requests of Hugging Face's hub that its file system sends; it knows one repository."""

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_testing"
LARGE = ".onnx"  # files of this ending go by Git LFS, as the hub's own rules for repositories say
SHA = "0" * 40


class HubHandler(http.server.BaseHTTPRequestHandler):
    """Reads for everyone, commits for whoever has TOKEN. The files of the branch `main` are in memory."""

    protocol_version = "HTTP/1.1"
    repository: str
    files: dict[str, bytes]
    objects: dict[str, bytes]  # of Git LFS, by their sha256

    def do_GET(self) -> None:
        path = self.read_path()
        if found := re.fullmatch(rf"/api/models/{self.repository}(?:/revision/main)?", path):
            self.answer({"id": self.repository, "sha": SHA, "siblings": [], "private": False})
        elif found := re.fullmatch(rf"/api/models/{self.repository}/tree/main(?:/(.*))?", path):
            self.list_folder(found[1] or "")
        elif found := re.fullmatch(rf"/{self.repository}/resolve/main/(.*)", path):
            self.send_file(found[1])
        elif re.match(rf"/api/models/{self.repository}/", path):
            self.refuse(404, "RevisionNotFound")
        else:
            self.refuse(404, "RepoNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.read_path()
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.refuse(401, "RepoNotFound")
        elif path == f"/api/models/{self.repository}/preupload/main":
            files = [each["path"] for each in json.loads(body)["files"]]
            kinds = {file: "lfs" if file.endswith(LARGE) else "regular" for file in files}
            self.answer(
                {
                    "files": [
                        {"path": file, "uploadMode": kinds[file], "shouldIgnore": False} for file in files
                    ]
                }
            )
        elif path == f"/{self.repository}.git/info/lfs/objects/batch":
            self.offer_uploads(json.loads(body)["objects"])
        elif path == f"/api/models/{self.repository}/commit/main":
            self.commit([json.loads(line) for line in body.splitlines()])
        else:
            self.refuse(404, "RepoNotFound")

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.objects[hashlib.sha256(content).hexdigest()] = content
        self.answer({})

    def read_path(self) -> str:
        return unquote(urlsplit(self.path).path)

    def list_folder(self, folder: str) -> None:
        start = f"{folder}/" if folder else ""
        below = {file.removeprefix(start): file for file in self.files if file.startswith(start)}
        if not below and folder:
            self.refuse(404, "EntryNotFound")
            return
        folders = {name.partition("/")[0] for name in below if "/" in name}
        self.answer(
            [{"type": "directory", "path": f"{start}{name}", "oid": SHA} for name in sorted(folders)]
            + [
                {"type": "file", "path": file, "oid": SHA, "size": len(self.files[file])}
                for name, file in below.items()
                if "/" not in name
            ]
        )

    def send_file(self, file: str) -> None:
        if file not in self.files:
            self.refuse(404, "EntryNotFound")
            return
        content = self.files[file]
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if part:
            content = content[int(part[1]) : int(part[2]) + 1]
        self.send(206 if part else 200, content)

    def offer_uploads(self, objects: list[dict[str, Any]]) -> None:
        host = self.headers["Host"]
        self.answer(
            {
                "transfer": "basic",
                "objects": [
                    {
                        "oid": each["oid"],
                        "size": each["size"],
                        "actions": {"upload": {"href": f"http://{host}/lfs/{each['oid']}"}},
                    }
                    for each in objects
                ],
            }
        )

    def commit(self, lines: list[dict[str, Any]]) -> None:
        deleted = [line["value"]["path"] for line in lines if line["key"] == "deletedFile"]
        if not all(path in self.files for path in deleted):
            self.refuse(404, "EntryNotFound")
            return
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del self.files[value["path"]]
        self.answer({"success": True, "commitOid": SHA, "commitUrl": f"{self.repository}/commit/{SHA}"})

    def answer(self, value: Any) -> None:
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str) -> None:
        self.send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def serve_hub(repository: str) -> Iterator[dict[str, str]]:
    """Serve an empty repository, such as `acme/skin`. The value are the variables that a client needs."""
    state = {"repository": repository, "files": {}, "objects": {}}
    handler = type("Handler", (HubHandler,), state)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
