"""Build the service's image, run it as docker-compose.yml would, and hold it to what docs/DEPLOY.md says.

make images-check runs it. From the environment:
DOCKER      the client, docker unless said otherwise; COMPOSE, likewise `docker-compose`
BASE_IMAGE  what to build on instead of python:3.11-slim-bookworm; see stand_in_base.sh
NETWORK     host, where Docker may not make networks
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCKER = os.environ.get("DOCKER") or "docker"
COMPOSE = os.environ.get("COMPOSE") or "docker-compose"
BASE_IMAGE = os.environ.get("BASE_IMAGE")
ON_HOST = os.environ.get("NETWORK") == "host"
LARGEST = 450e6  # bytes
IN_FLIGHT = 8
PATIENCE_S = 60.0
CONFINED = "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --memory 512m"


def main(quickstart: Path) -> None:
    """All checks, in turn, with the bundle of a quick-start."""
    numbers = json.loads((quickstart / "example" / "numbers.json").read_text())
    image = base64.b64encode((quickstart / "example" / "image.png").read_bytes()).decode()
    body = json.dumps({"inputs": {"image": image, **numbers["inputs"]}}).encode()
    build()
    nothing_that_builds_is_inside()
    with tempfile.TemporaryDirectory() as folder:
        bundles = Path(folder)
        bundles.chmod(0o755)  # for the container's user
        shutil.copytree(quickstart / "run" / "bundle", bundles / "bundle")
        with running(bundles) as (container, port):
            is_confined(container)
            answers(port, body, version="1")
            takes_a_new_bundle(container, bundles, port, body)
            stops_without_losing_any(container, port, body)
    starts_with_compose(quickstart / "run", body)


def build() -> None:
    """The image is built, and small enough."""
    began = time.monotonic()
    base = ["--build-arg", f"BASE_IMAGE={BASE_IMAGE}"] if BASE_IMAGE else []
    network = ["--network", "host"] if ON_HOST else []
    command = [DOCKER, "build", *base, *network, "-f", "docker/Dockerfile", "-t", "tailfuse", "."]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=True)
    seconds = time.monotonic() - began
    size = int(docker("image", "inspect", "--format", "{{.Size}}", "tailfuse"))
    check(f"built in {seconds:.0f} s: {size / 1e6:.0f} MB of {LARGEST / 1e6:.0f} at most", size < LARGEST)


def nothing_that_builds_is_inside() -> None:
    """No compiler, pip, torch or training code."""
    modules = "torch", "pip", "setuptools", "tailfuse"
    python = f"import importlib.util as u; print(*(m for m in {modules} if u.find_spec(m)))"
    shell = f'for tool in gcc cc g++ make pip pip3; do command -v $tool; done; python -c "{python}"'
    found = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", "tailfuse", "-c", shell).split()
    check("no compiler, no pip, no torch and nothing of `model` is inside", found == [], *found)


@contextmanager
def running(bundles: Path) -> Iterator[tuple[str, int]]:
    """A container, healthy, and the port that it answers at."""
    port = free_port()
    where = (
        f"--network host -e TAILFUSE_HOST=127.0.0.1 -e TAILFUSE_PORT={port}"
        if ON_HOST
        else f"-p 127.0.0.1:{port}:8000 -e TAILFUSE_ALLOW_ANONYMOUS=true"
    )
    bundle = ["-v", f"{bundles}:/bundles:ro", "-e", "TAILFUSE_BUNDLE=/bundles/bundle"]
    began = time.monotonic()
    container = docker("run", "--detach", *CONFINED.split(), *where.split(), *bundle, "tailfuse")
    try:
        until(lambda: healthy(port))
        seconds = time.monotonic() - began
        until(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy")
        check(f"answers {seconds:.1f} s after its start, and Docker finds it healthy", True)
        yield container, port
    except BaseException:
        print(docker("logs", container), file=sys.stderr)
        raise
    finally:
        docker("rm", "--force", container)


def is_confined(container: str) -> None:
    """No root, no capability, no new privileges, nothing to write to."""
    status = docker("exec", container, "cat", "/proc/1/status")
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    check("runs as user 10001", set(told["Uid"].split()) == {"10001"})
    check("has no capabilities, and can get none", int(told["CapBnd"], 16) == 0, told["CapBnd"])
    check("and no new privileges", told["NoNewPrivs"] == "1")
    writing = subprocess.run(
        [DOCKER, "exec", "--user", "0", container, "touch", "/app/file"], capture_output=True, text=True
    )
    check("cannot write to its file system", "Read-only file system" in writing.stderr)


def answers(port: int, body: bytes, *, version: str) -> None:
    """A prediction by this version, which is counted."""
    answer = predict(port, body)
    check(
        f"predicts: {answer['label']} with {answer['probability']:.3f}, by version {version}",
        answer["label"] == "6" and answer["model"]["version"] == version,
    )
    check("counts it", "tailfuse_predictions_total{" in fetch(port, "/metrics").decode())


def takes_a_new_bundle(container: str, bundles: Path, port: int, body: bytes) -> None:
    """Renamed into place, and a SIGHUP."""
    shutil.copytree(bundles / "bundle", bundles / "next")
    manifest = json.loads((bundles / "next" / "manifest.json").read_text())
    (bundles / "next" / "manifest.json").write_text(json.dumps({**manifest, "version": "2"}))
    (bundles / "bundle").rename(bundles / "before")
    (bundles / "next").rename(bundles / "bundle")
    docker("kill", "--signal", "HUP", container)
    until(lambda: bool(predict(port, body)["model"]["version"] == "2"))
    answers(port, body, version="2")


def stops_without_losing_any(container: str, port: int, body: bytes) -> None:
    """Requests of which half has arrived when the container is told to stop are answered."""
    with ExitStack() as connections:
        accepted = [connections.enter_context(half_a_request(port, body)) for _ in range(IN_FLIGHT)]
        began = time.monotonic()
        stopping = subprocess.Popen([DOCKER, "stop", "--time", "35", container], stdout=subprocess.DEVNULL)
        until(lambda: not healthy(port, "/readyz"))
        for connection in accepted:
            connection.sendall(body[len(body) // 2 :])
        statuses = [status_of(connection) for connection in accepted]
        stopping.wait()
    seconds = time.monotonic() - began
    code = docker("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", container)
    check(
        f"stopped in {seconds:.1f} s with {IN_FLIGHT} requests in flight: all answered, exit 0",
        statuses == [200] * IN_FLIGHT and code == "0 false",
        *map(str, statuses), code,
    )  # fmt: skip


def starts_with_compose(bundles: Path, body: bytes) -> None:
    port = free_port()
    files = ["-f", "docker-compose.yml", *(["-f", "docker/compose.host.yml"] if ON_HOST else [])]
    compose = [*COMPOSE.split(), "-p", "tailfuse-check", *files]
    environment = {**os.environ, "TAILFUSE_PORT": str(port), "BUNDLES": str(bundles.absolute())}
    up = [*compose, "up", "--wait", "--no-build", "--pull", "never", "service"]
    try:
        subprocess.run(up, cwd=ROOT, env=environment, check=True)
        answers(port, body, version="1")
    finally:
        subprocess.run([*compose, "down", "--volumes"], cwd=ROOT, env=environment, check=True)


@contextmanager
def half_a_request(port: int, body: bytes) -> Iterator[socket.socket]:
    """A connection that the service has begun to read a request from."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        head = f"POST /predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n"
        connection.sendall(f"{head}content-type: application/json\r\n\r\n".encode())
        if not connection.recv(1024).startswith(b"HTTP/1.1 100 "):
            raise SystemExit("images-check: a request was not accepted")
        connection.sendall(body[: len(body) // 2])
        yield connection


def status_of(connection: socket.socket) -> int:
    """The status of the answer; 0 if there is none."""
    answer = HTTPResponse(connection)
    try:
        answer.begin()
    except OSError:
        return 0
    return answer.status


def predict(port: int, body: bytes) -> dict[str, Any]:
    return dict(json.loads(fetch(port, "/predict", body)))


def fetch(port: int, path: str, body: bytes | None = None) -> bytes:
    """Raises OSError where the answer is not a good one, or there is none."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def healthy(port: int, path: str = "/healthz") -> bool:
    try:
        fetch(port, path)
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(it_is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not it_is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"images-check: nothing came of it in {PATIENCE_S:.0f} s")
        time.sleep(0.1)


def docker(*arguments: str) -> str:
    """What Docker says. Raises SystemExit with its complaint."""
    done = subprocess.run([DOCKER, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"images-check: docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def check(claim: str, is_so: bool, *found: str) -> None:
    if not is_so:
        raise SystemExit(" ".join([f"images-check: not so: {claim}", *found]))
    print(f"ok  {claim}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
