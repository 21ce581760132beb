"""Build the service's image, run it as docker-compose.yml does, and check the claims of docs/DEPLOY.md.

`make images-check` runs it. Environment variables:
DOCKER      the Docker client, default `docker`; COMPOSE, default `docker-compose`
BASE_IMAGE  base image instead of python:3.11-slim-bookworm; see stand_in_base.sh
NETWORK     `host` where Docker may not create networks
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
USE_HOST_NETWORK = os.environ.get("NETWORK") == "host"
MAX_IMAGE_BYTES = 450e6  # bytes
CONCURRENT_REQUESTS = 8
TIMEOUT_S = 60.0
RUN_OPTIONS = "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --memory 512m"


def main(quickstart: Path) -> None:
    """Run all checks with the bundle of a quick-start."""
    numbers = json.loads((quickstart / "example" / "numbers.json").read_text())
    image = base64.b64encode((quickstart / "example" / "image.png").read_bytes()).decode()
    body = json.dumps({"inputs": {"image": image, **numbers["inputs"]}}).encode()
    build_image()
    check_contents()
    with tempfile.TemporaryDirectory() as folder:
        bundles = Path(folder)
        bundles.chmod(0o755)  # readable by the container's user
        shutil.copytree(quickstart / "run" / "bundle", bundles / "bundle")
        with run_container(bundles) as (container, port):
            check_confinement(container)
            check_prediction(port, body, version="1")
            check_reload(container, bundles, port, body)
            check_graceful_stop(container, port, body)
        check_compose(bundles, "before", sign_bundle(bundles / "before", bundles / "release.pem"), body)


def build_image() -> None:
    """Build the image and check its size."""
    start = time.monotonic()
    base = ["--build-arg", f"BASE_IMAGE={BASE_IMAGE}"] if BASE_IMAGE else []
    network = ["--network", "host"] if USE_HOST_NETWORK else []
    command = [DOCKER, "build", *base, *network, "-f", "docker/Dockerfile", "-t", "tailfuse", "."]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=True)
    seconds = time.monotonic() - start
    size = int(run_docker("image", "inspect", "--format", "{{.Size}}", "tailfuse"))
    check(
        f"built in {seconds:.0f} s: {size / 1e6:.0f} MB, at most {MAX_IMAGE_BYTES / 1e6:.0f}",
        size < MAX_IMAGE_BYTES,
    )


def check_contents() -> None:
    """Check that the image contains no compiler, pip, torch or training code."""
    modules = "torch", "pip", "setuptools", "tailfuse"
    python = f"import importlib.util as u; print(*(m for m in {modules} if u.find_spec(m)))"
    shell = f'for tool in gcc cc g++ make pip pip3; do command -v $tool; done; python -c "{python}"'
    found = run_docker(
        "run", "--rm", "--network", "none", "--entrypoint", "sh", "tailfuse", "-c", shell
    ).split()
    check("contains no compiler, pip, torch or training code", found == [], *found)


@contextmanager
def run_container(bundles: Path) -> Iterator[tuple[str, int]]:
    """Run a container; yield its id and port once it is healthy."""
    port = find_free_port()
    network_options = (
        f"--network host -e TAILFUSE_HOST=127.0.0.1 -e TAILFUSE_PORT={port}"
        if USE_HOST_NETWORK
        else f"-p 127.0.0.1:{port}:8000 -e TAILFUSE_ALLOW_ANONYMOUS=true"
    )
    bundle = ["-v", f"{bundles}:/bundles:ro", "-e", "TAILFUSE_BUNDLE=/bundles/bundle"]
    start = time.monotonic()
    container = run_docker(
        "run", "--detach", *RUN_OPTIONS.split(), *network_options.split(), *bundle, "tailfuse"
    )
    try:
        wait_until(lambda: is_healthy(port))
        seconds = time.monotonic() - start
        wait_until(
            lambda: run_docker("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy"
        )
        check(f"answers {seconds:.1f} s after its start, and Docker reports it as healthy", True)
        yield container, port
    except BaseException:
        print(run_docker("logs", container), file=sys.stderr)
        raise
    finally:
        run_docker("rm", "--force", container)


def check_confinement(container: str) -> None:
    """Check user, capabilities, privileges and read-only file system."""
    status = run_docker("exec", container, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    check("runs as user 10001", set(fields["Uid"].split()) == {"10001"})
    check("has no capabilities and cannot gain any", int(fields["CapBnd"], 16) == 0, fields["CapBnd"])
    check("cannot gain new privileges", fields["NoNewPrivs"] == "1")
    writing = subprocess.run(
        [DOCKER, "exec", "--user", "0", container, "touch", "/app/file"], capture_output=True, text=True
    )
    check("cannot write to its file system", "Read-only file system" in writing.stderr)


def check_prediction(port: int, body: bytes, *, version: str) -> None:
    """Check a prediction by this version, and its metric."""
    answer = predict(port, body)
    check(
        f"predicts: {answer['label']} with {answer['probability']:.3f}, by version {version}",
        answer["label"] == "6" and answer["model"]["version"] == version,
    )
    check("counts the prediction", "tailfuse_predictions_total{" in fetch(port, "/metrics").decode())


def check_reload(container: str, bundles: Path, port: int, body: bytes) -> None:
    """Check that a renamed bundle is loaded after SIGHUP."""
    shutil.copytree(bundles / "bundle", bundles / "next")
    manifest = json.loads((bundles / "next" / "manifest.json").read_text())
    (bundles / "next" / "manifest.json").write_text(json.dumps({**manifest, "version": "2"}))
    (bundles / "bundle").rename(bundles / "before")
    (bundles / "next").rename(bundles / "bundle")
    run_docker("kill", "--signal", "HUP", container)
    wait_until(lambda: bool(predict(port, body)["model"]["version"] == "2"))
    check_prediction(port, body, version="2")


def check_graceful_stop(container: str, port: int, body: bytes) -> None:
    """Check that requests received in part before the stop are answered."""
    with ExitStack() as connections:
        accepted = [connections.enter_context(start_request(port, body)) for _ in range(CONCURRENT_REQUESTS)]
        start = time.monotonic()
        stopping = subprocess.Popen([DOCKER, "stop", "--time", "35", container], stdout=subprocess.DEVNULL)
        wait_until(lambda: not is_healthy(port, "/readyz"))
        for connection in accepted:
            connection.sendall(body[len(body) // 2 :])
        statuses = [read_status(connection) for connection in accepted]
        stopping.wait()
    seconds = time.monotonic() - start
    code = run_docker("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", container)
    check(
        f"stopped in {seconds:.1f} s with {CONCURRENT_REQUESTS} requests in flight: all answered, exit 0",
        statuses == [200] * CONCURRENT_REQUESTS and code == "0 false",
        *map(str, statuses), code,
    )  # fmt: skip


def sign_bundle(bundle: Path, key: Path) -> Path:
    """Sign a bundle with a new key; return the file of the public key, readable by the container's user."""
    sign = [sys.executable, "-m", "tailfuse", "sign", bundle, "--key", key, "--new-key"]
    subprocess.run(sign, cwd=ROOT, check=True)
    public = key.with_name(f"{key.name}.pub")
    public.chmod(0o644)
    return public


def check_compose(bundles: Path, bundle: str, trusted_keys: Path, body: bytes) -> None:
    """Start the service by Compose with a signed bundle, ask it, and stop it."""
    port = find_free_port()
    files = ["-f", "docker-compose.yml", *(["-f", "docker/compose.host.yml"] if USE_HOST_NETWORK else [])]
    compose = [*COMPOSE.split(), "-p", "tailfuse-check", *files]
    environment = {**os.environ, "TAILFUSE_PORT": str(port), "BUNDLES": str(bundles)}
    environment |= {"BUNDLE": bundle, "TAILFUSE_TRUSTED_KEYS": str(trusted_keys)}
    up = [*compose, "up", "--wait", "--no-build", "--pull", "never", "service"]
    try:
        subprocess.run(up, cwd=ROOT, env=environment, check=True)
        check_prediction(port, body, version="1")
    finally:
        subprocess.run([*compose, "down", "--volumes"], cwd=ROOT, env=environment, check=True)


@contextmanager
def start_request(port: int, body: bytes) -> Iterator[socket.socket]:
    """Open a connection and send half of a request."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        head = f"POST /predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n"
        connection.sendall(f"{head}content-type: application/json\r\n\r\n".encode())
        if not connection.recv(1024).startswith(b"HTTP/1.1 100 "):
            raise SystemExit("images-check: a request was not accepted")
        connection.sendall(body[: len(body) // 2])
        yield connection


def read_status(connection: socket.socket) -> int:
    """Return the status of the answer; 0 without an answer."""
    answer = HTTPResponse(connection)
    try:
        answer.begin()
    except OSError:
        return 0
    return answer.status


def predict(port: int, body: bytes) -> dict[str, Any]:
    """Return the answer to one request."""
    return dict(json.loads(fetch(port, "/predict", body)))


def fetch(port: int, path: str, body: bytes | None = None) -> bytes:
    """Send a request and return the body. Raises OSError without an answer of 2xx."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        return bytes(answer.read())


def is_healthy(port: int, path: str = "/healthz") -> bool:
    """Return whether a health check is answered with 2xx."""
    try:
        fetch(port, path)
    except OSError:
        return False
    return True


def find_free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition. Raises SystemExit after TIMEOUT_S."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"images-check: a condition did not hold within {TIMEOUT_S:.0f} s")
        time.sleep(0.1)


def run_docker(*arguments: str) -> str:
    """Run Docker and return its output. Raises SystemExit with its error."""
    done = subprocess.run([DOCKER, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"images-check: docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def check(claim: str, holds: bool, *found: str) -> None:
    """Print a claim that holds. Raises SystemExit with what was found if it does not."""
    if not holds:
        raise SystemExit(" ".join([f"images-check: failed: {claim}", *found]))
    print(f"ok  {claim}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
