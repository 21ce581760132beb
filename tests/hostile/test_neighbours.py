"""One bad item, one caller who hangs up, one exception in a run: each hurts nobody else.

By construction: a run waits until the test lets it go, so that who shares it is no matter of luck.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tailfuse_service.bundle import Bundle

from tests.support.asking import as_json, assert_answers, assert_problem
from tests.support.hostile.gated_service import GUILTY
from tests.support.hostile.pictures import art, encode_file
from tests.support.hostile.wire import Wire, post
from tests.support.process import TIMEOUT_S, Service, start_service, until

pytestmark = pytest.mark.e2e


class Gate:
    """A service whose runs can be held."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self._folder = folder
        self._client = httpx2.Client(base_url=service.url, timeout=TIMEOUT_S, trust_env=False)
        self._earlier = len(self._runs())
        self._wires: list[Wire] = []

    def hold(self, size: int) -> None:
        """Runs of that many samples wait from now on."""
        (self._folder / f"hold-{size}").touch()

    def release(self, size: int) -> None:
        (self._folder / f"hold-{size}").unlink()

    def runs(self) -> list[int]:
        """How many samples each run has had since the start of the test."""
        return self._runs()[self._earlier :]

    def waiting(self) -> int:
        """How many samples are in the queue."""
        families = text_string_to_metric_families(self._client.get("/metrics").text)
        return next(int(each.samples[0].value) for each in families if each.name == "tailfuse_queue_depth")

    def ask(self, *callers: Any, path: str = "/predict") -> list[Wire]:
        """One after the other, each on a connection of its own; returns when all of them wait."""
        wires = []
        for body in callers:
            before = self.waiting()
            wires.append(self._send(body, path))
            until(lambda before=before: self.waiting() > before, "the caller waits")
        return wires

    def ask_and_hold(self, inputs: Any) -> Wire:
        """A first caller, whose run is held so that the next ones gather behind it."""
        self.hold(1)
        wire = self._send(as_json(inputs))
        until(lambda: self.runs() == [1], "the first run has begun")
        return wire

    def close(self) -> None:
        for wire in self._wires:
            wire.socket.close()
        self._client.close()

    def _send(self, body: Any, path: str = "/predict") -> Wire:
        wire = Wire(self.service)
        self._wires.append(wire)
        wire.send(post(json.dumps(body).encode(), path))
        return wire

    def _runs(self) -> list[int]:
        file = self._folder / "runs"
        return [int(line) for line in file.read_text().split()] if file.exists() else []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="module")
def gated(tiny_bundle: Path, folder: Path) -> Iterator[Service]:
    program = ("-m", "tests.support.hostile.gated_service", str(folder))
    service = start_service(tiny_bundle, log=folder / "service.log", program=program)
    yield service
    assert service.stop() == 0


@pytest.fixture
def gate(gated: Service, folder: Path) -> Iterator[Gate]:
    gate = Gate(gated, folder)
    yield gate
    gate.close()
    for each in folder.glob("hold-*"):
        each.unlink()


def sample(seed: int) -> dict[str, Any]:
    """Inputs that nobody else has."""
    return {"image": encode_file(art(seed)), "clinical": {"age": 30.0 + seed}}


def check(wires: Sequence[Wire], seeds: Sequence[int], bundle: Bundle) -> None:
    """Each caller gets the answer to its own inputs."""
    for wire, seed in zip(wires, seeds, strict=True):
        answer = wire.answer()
        assert answer is not None
        assert answer.status == 200, answer
        assert_answers(answer.json(), bundle, sample(seed))


@pytest.mark.parametrize("how", ["close", "reset"])
def test_of_four_in_the_queue_the_third_hangs_up_and_is_never_run(
    gate: Gate, bundle: Bundle, how: str
) -> None:
    first = gate.ask_and_hold(sample(0))
    one, two, three, four = gate.ask(*(as_json(sample(seed)) for seed in (1, 2, 3, 4)))
    assert gate.waiting() == 4
    three.reset() if how == "reset" else three.socket.close()
    until(lambda: gate.waiting() == 3, "the third has left the queue")
    gate.release(1)
    check([first, one, two, four], [0, 1, 2, 4], bundle)
    assert gate.runs() == [1, 3]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_of_four_in_one_run_the_third_hangs_up_and_the_others_are_answered(
    gate: Gate, bundle: Bundle, how: str
) -> None:
    first = gate.ask_and_hold(sample(0))
    one, two, three, four = gate.ask(*(as_json(sample(seed)) for seed in (1, 2, 3, 4)))
    gate.hold(4)
    gate.release(1)
    until(lambda: gate.runs() == [1, 4], "the four are being run")
    three.reset() if how == "reset" else three.socket.close()
    (late,) = gate.ask(as_json(sample(5)))  # the service has met the hang-up, or the next batch is behind it
    gate.release(4)
    check([first, one, two, four, late], [0, 1, 2, 4, 5], bundle)


def test_a_batch_whose_caller_hangs_up_leaves_the_queue_as_a_whole(gate: Gate, bundle: Bundle) -> None:
    first = gate.ask_and_hold(sample(0))
    (one,) = gate.ask(as_json(sample(1)))
    (batch,) = gate.ask({"items": [as_json(sample(seed)) for seed in (2, 3, 4)]}, path="/predict/batch")
    (five,) = gate.ask(as_json(sample(5)))
    assert gate.waiting() == 5
    batch.reset()
    until(lambda: gate.waiting() == 2, "its three items have left the queue")
    gate.release(1)
    check([first, one, five], [0, 1, 5], bundle)
    assert gate.runs() == [1, 2]


def test_of_four_in_a_run_that_raises_the_guilty_alone_fails(gate: Gate, bundle: Bundle) -> None:
    guilty = {"clinical": {"age": GUILTY}}
    first = gate.ask_and_hold(sample(0))
    one, two, three, four = gate.ask(*map(as_json, (sample(1), sample(2), guilty, sample(4))))
    gate.release(1)
    check([first, one, two, four], [0, 1, 2, 4], bundle)
    failed = three.answer()
    assert failed is not None
    assert failed.status == 500
    assert_problem(failed.json(), "inference-failed", 500)
    assert b"secret" not in failed.body
    assert gate.runs() == [1, 4, 1, 1, 1, 1]
    three.send(post(json.dumps(as_json(sample(6))).encode()))  # the connection is still good
    check([three], [6], bundle)


def test_a_guilty_item_fails_in_its_place(gate: Gate, bundle: Bundle) -> None:
    items = [as_json(sample(1)), as_json({"clinical": {"age": GUILTY}}), {"inputs": 7}, as_json(sample(2))]
    with Wire(gate.service) as wire:
        wire.send(post(json.dumps({"items": items}).encode(), "/predict/batch"))
        answer = wire.answer()
    assert answer is not None
    assert answer.status == 200
    before, failed, wrong, after = answer.json()["results"]
    assert_answers(before, bundle, sample(1))
    assert_answers(after, bundle, sample(2))
    assert_problem(failed, "inference-failed", 500)
    assert failed["instance"].endswith("/items/1")
    assert_problem(wrong, "invalid-input", 422)
