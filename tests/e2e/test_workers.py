"""Several workers: all of them answer, none is missed for long, and what they count adds up."""

import json
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_json, assert_answers
from tests.support.process import TIMEOUT_S, Service, environment, ran, start_service, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

INPUTS: dict[str, Any] = {"clinical": {"age": 61, "pulse": 80, "smoker": False, "site": "face"}}
BODY = json.dumps(as_json(INPUTS))
CONNECTIONS = 16


@pytest.fixture
def start(tmp_path: Path, tiny_bundle: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service with two workers that both answer. Those left running are killed."""
    started: list[Service] = []

    def begin(bundle: Path = tiny_bundle, *flags: str) -> Service:
        log = tmp_path / f"service-{len(started)}.log"
        service = start_service(bundle, "--workers", "2", *flags, log=log)
        started.append(service)
        until(lambda: metric(service, "tailfuse_workers") == 2, "both workers answer")
        return service

    yield begin
    for each in started:
        each.process.kill()
        each.process.wait()


def connected(service: Service) -> HTTPConnection:
    return HTTPConnection(*service.address, timeout=TIMEOUT_S)


def ask(connection: HTTPConnection) -> dict[str, Any]:
    connection.request("POST", "/predict", BODY, {"content-type": "application/json"})
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    assert response.status == 200, answer
    return answer


def metric(service: Service, sample: str, **labels: str) -> float:
    """One number of /metrics; 0 if it is not there."""
    connection = connected(service)
    connection.request("GET", "/metrics")
    families = text_string_to_metric_families(connection.getresponse().read().decode())
    connection.close()
    found = [
        each.value
        for family in families
        for each in family.samples
        if each.name == sample and each.labels == labels
    ]
    return found[0] if found else 0.0


def answered(service: Service) -> float:
    return metric(service, "tailfuse_requests_total", route="/predict", status="200")


def pids(service: Service) -> dict[int, int]:
    """Process ids by the worker's number, of those that were started last."""
    lines = [line for line in service.log_lines() if line["message"] == "worker started"]
    return {line["worker"]: line["pid"] for line in lines}


def deaths(service: Service) -> list[dict[str, Any]]:
    return [line for line in service.log_lines() if line["message"] == "worker died"]


def alive(pid: int) -> bool:
    """Also false of one that has ended and that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def make_callers(pid: int, port: int) -> set[int]:
    """The other ends' ports of the connections that a process has at `port`."""
    sockets = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile: a scrape ends
            target = os.readlink(file)
            if target.startswith("socket:["):
                sockets.add(target[len("socket:[") : -1])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {
        int(row[2].partition(":")[2], 16)
        for row in rows
        if row[9] in sockets and row[3] == "01" and int(row[1].partition(":")[2], 16) == port
    }


def test_connections_spread_over_the_workers(start: Callable[..., Service]) -> None:
    service = start()
    connections = [connected(service) for _ in range(64)]
    for connection in connections:
        ask(connection)
    shares = [make_callers(pid, service.address[1]) for pid in pids(service).values()]
    assert len(shares) == 2
    assert all(shares)  # by chance one of them has none once in 10^19
    assert answered(service) == 64
    info = {"runtime": "onnx", "device": "cpu", "precision": "float32", "role": "stable"}
    assert metric(service, "tailfuse_model_info", model="skin-lesions", version="3", **info) == 1
    for connection in connections:
        connection.close()
    assert service.stop() == 0


def test_a_killed_worker_breaks_its_own_connections_only_and_comes_back(
    start: Callable[..., Service], bundle: Bundle
) -> None:
    service = start()
    answers: list[dict[str, Any]] = []
    broken: list[int] = []  # the callers' ports
    enough = threading.Event()
    failures: list[BaseException] = []

    def load(connection: HTTPConnection) -> None:
        try:
            while not enough.is_set():
                if connection.sock is None:  # the answer was the last of its connection
                    connection.connect()
                port = connection.sock.getsockname()[1]
                try:
                    answers.append(ask(connection))
                except (OSError, HTTPException):
                    broken.append(port)
                    connection.close()
                    connection.connect()
            connection.close()
        except BaseException as error:
            failures.append(error)

    connections = [connected(service) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.connect()
        answers.append(ask(connection))
    threads = [threading.Thread(target=load, args=[connection]) for connection in connections]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 10 * CONNECTIONS, "the load is on")
    before = answered(service)
    victim = pids(service)[1]
    os.kill(victim, signal.SIGSTOP)  # it accepts nobody any more
    its_own = make_callers(victim, service.address[1])
    os.kill(victim, signal.SIGKILL)
    until(lambda: deaths(service), "the death is noticed")
    until(lambda: metric(service, "tailfuse_workers") == 2, "there are two workers again")
    assert answered(service) >= before
    enough.set()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert not failures
    assert set(broken) <= its_own
    assert len(broken) == len(set(broken))
    for answer in answers[::50]:
        assert_answers(answer, bundle, INPUTS)
    # A request may be killed between its answer and its count.
    assert answered(service) == pytest.approx(len(answers), abs=len(broken))
    assert metric(service, "tailfuse_worker_restarts_total") == 1
    assert [line["exit_code"] for line in deaths(service)] == [-signal.SIGKILL]
    until(lambda: metric(service, "tailfuse_requests_in_flight") == 1, "nothing is in flight but this")
    assert service.stop() == 0


def test_callers_that_keep_their_connections_come_to_a_worker_that_has_none(
    start: Callable[..., Service], bundle: Bundle
) -> None:
    service = start()
    busy, idle = pids(service).values()
    connections: list[HTTPConnection] = []
    while len(connections) < CONNECTIONS:
        connection = connected(service)
        ask(connection)
        if connection.sock.getsockname()[1] in make_callers(busy, service.address[1]):
            connections.append(connection)
        else:
            connection.close()
    until(lambda: not make_callers(idle, service.address[1]), "the other worker has no connection")
    batch = json.dumps({"items": [as_json(INPUTS)] * 32})  # long enough that requests wait for each other
    moved = threading.Event()
    failures: list[BaseException] = []

    def load(connection: HTTPConnection) -> None:
        try:
            while not moved.is_set():
                connection.request("POST", "/predict/batch", batch, {"content-type": "application/json"})
                response = connection.getresponse()
                answers = json.loads(response.read())
                assert response.status == 200, answers
            assert_answers(answers["results"][-1], bundle, INPUTS)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=load, args=[connection]) for connection in connections]
    for thread in threads:
        thread.start()
    try:
        until(lambda: make_callers(idle, service.address[1]), "some have come to the other worker")
    finally:
        moved.set()
        for thread in threads:
            thread.join(TIMEOUT_S)
    assert not failures
    assert service.stop() == 0


def test_a_worker_that_is_stopped_is_replaced(start: Callable[..., Service], tiny_bundle: Path) -> None:
    service = start(tiny_bundle, "--worker-timeout-s", "2")
    os.kill(pids(service)[1], signal.SIGSTOP)
    until(lambda: deaths(service), "it is killed")
    until(lambda: metric(service, "tailfuse_workers") == 2, "there are two workers again")
    assert [line["worker"] for line in service.log_lines() if line["message"] == "worker hangs"] == [1]
    assert [line["exit_code"] for line in deaths(service)] == [-signal.SIGKILL]
    with closing(connected(service)) as connection:
        ask(connection)
    assert service.stop() == 0


def test_workers_stop_when_their_supervisor_is_killed(start: Callable[..., Service]) -> None:
    service = start()
    service.process.kill()
    until(lambda: not any(alive(pid) for pid in pids(service).values()), "the workers have ended")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(service.address, timeout=TIMEOUT_S)


def test_a_worker_that_cannot_start_again_keeps_nobody_waiting(
    start: Callable[..., Service], tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle, elsewhere = tmp_path / "bundle", tmp_path / "elsewhere"
    shutil.copytree(tiny_bundle, bundle)
    service = start(bundle)
    bundle.rename(elsewhere)
    os.kill(pids(service)[2], signal.SIGKILL)
    until(lambda: len(deaths(service)) > 2, "it has tried twice in vain")
    assert deaths(service)[-1]["reason"] == f"{bundle}: no such bundle"
    for _ in range(20):
        connection = connected(service)
        ask(connection)
        connection.close()
    elsewhere.rename(bundle)
    until(lambda: metric(service, "tailfuse_workers") == 2, "it has come back")
    assert service.stop() == 0


def test_a_bundle_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    done = ran(
        sys.executable, "-m", "tailfuse_service", str(tmp_path / "none"), "--workers", "3", "--port", "0"
    )
    assert done.returncode == 1
    assert done.stderr == f"tailfuse: {tmp_path / 'none'}: no such bundle\n"


def test_a_port_in_use_is_one_sentence(start: Callable[..., Service], tiny_bundle: Path) -> None:
    """Also if those who have it would share it."""
    port = str(start().address[1])
    done = ran(sys.executable, "-m", "tailfuse_service", str(tiny_bundle), "--workers", "2", "--port", port)
    assert done.returncode == 1
    assert done.stderr == f"tailfuse: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_variable_sets_the_workers(tiny_bundle: Path) -> None:
    done = ran(
        sys.executable, "-m", "tailfuse_service", str(tiny_bundle), env=environment(TAILFUSE_WORKERS="0")
    )
    assert done.returncode == 2
    assert "TAILFUSE_WORKERS" in done.stderr
