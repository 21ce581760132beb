"""SIGHUP to a real service: a new bundle answers from then on; one that cannot be used changes nothing."""

import json
import os
import pty
import shutil
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from tailfuse_service.bundle import Bundle, open_bundle

from tests.support.asking import assert_answers
from tests.support.bundles import tiny_graph, write_tiny_bundle
from tests.support.deployment import INPUTS, Deployment, predict, read_page
from tests.support.process import TIMEOUT_S, start_service, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP"),
]

CALLERS = 4


@pytest.fixture(scope="module")
def versions(tiny_bundle: Path, next_bundle: Path) -> dict[str, Bundle]:
    """Both bundles, opened here: what every answer is compared with."""
    return {"3": open_bundle(tiny_bundle), "4": open_bundle(next_bundle)}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_version_takes_over_under_load_and_nobody_fails(
    deploy: Callable[..., Deployment],
    tiny_bundle: Path,
    next_bundle: Path,
    versions: dict[str, Bundle],
    workers: int,
) -> None:
    deployment = deploy(tiny_bundle, "--workers", str(workers))
    if workers > 1:
        until(lambda: len(deployment.lines("worker started")) == workers, "all workers answer")
    answers: list[list[dict[str, Any]]] = [[] for _ in range(CALLERS)]
    failures: list[BaseException] = []
    enough = threading.Event()

    def load(mine: list[dict[str, Any]]) -> None:
        try:
            while not enough.is_set():  # the kernel deals connections to all workers
                connection = deployment.connection()
                for _ in range(20):
                    mine.append(predict(connection))
                connection.close()
        except BaseException as error:
            failures.append(error)

    def all_ask(n: int) -> None:
        goal = [len(mine) + n for mine in answers]
        until(
            lambda: failures or all(len(mine) >= n for mine, n in zip(answers, goal, strict=True)),
            "all have asked again",
        )

    threads = [threading.Thread(target=load, args=[mine]) for mine in answers]
    for thread in threads:
        thread.start()
    all_ask(50)
    deployment.reload(next_bundle)
    until(lambda: len(deployment.loaded()) == workers, "all have the new bundle")
    before = [len(mine) for mine in answers]
    all_ask(50)
    enough.set()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert not failures
    for mine, n in zip(answers, before, strict=True):
        assert mine[0]["model"]["version"] == "3"
        assert {answer["model"]["version"] for answer in mine[n + 1 :]} == {"4"}
    different = {json.dumps(answer | {"request_id": ""}): answer for mine in answers for answer in mine}
    for answer in different.values():
        assert_answers(answer, versions[answer["model"]["version"]], INPUTS)
    for line in deployment.loaded():
        assert (line["model"], line["version"]) == ("skin-lesions", "4")
        assert (line["old_model"], line["old_version"]) == ("skin-lesions", "3")
    assert not deployment.refused()
    assert len(deployment.lines("bundle tried")) == 1  # one trial for all workers
    metrics = deployment.metrics()
    assert ("tailfuse_reloads_total", {"outcome": "ok"}, workers) in metrics
    assert [labels["version"] for name, labels, _ in metrics if name == "tailfuse_model_info"] == ["4"]
    assert deployment.service.stop() == 0


def foreign_graph() -> bytes:
    """A good one, of another program."""
    tensor = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "foreign", [tensor], [answer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString()
    return written


def truncated(path: Path) -> None:
    """Its sums are right: they are those of what is left."""
    graph = tiny_graph()
    write_tiny_bundle(path, graph[: len(graph) // 2])


def changed_after(path: Path) -> None:
    write_tiny_bundle(path)
    with (path / "model.onnx").open("ab") as file:
        file.write(b"\0")


def climbing(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../evil", b"x")


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a truncated graph": (truncated, "model.onnx cannot be loaded"),
    "a foreign graph": (lambda path: write_tiny_bundle(path, foreign_graph()), "the graph does not run"),
    "a graph that answers more": (lambda path: write_tiny_bundle(path, classes=()), "classes"),
    "a wrong sum": (changed_after, "model.onnx is damaged"),
    "an archive that climbs": (climbing, "'../evil' does not belong into a bundle"),
    "nothing": (lambda _: None, "no such bundle"),
    "an empty folder": (Path.mkdir, "manifest.json"),
}


@pytest.fixture(scope="module")
def running(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A service that is told to open one unusable bundle after another, and a good one at the end."""
    deployment = Deployment(tmp_path_factory.mktemp("unusable") / "served", tiny_bundle)
    yield deployment
    n = len(deployment.refused())
    assert ("tailfuse_reloads_total", {"outcome": "failed"}, n) in deployment.metrics()
    deployment.reload(tiny_bundle)
    until(lambda: len(deployment.loaded()) == 1, "a good bundle is taken after all")
    assert deployment.service.stop() == 0
    assert len(deployment.refused()) == n


@pytest.mark.parametrize(("make", "said"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_bundle_that_cannot_be_used_leaves_the_old_one_serving(
    running: Deployment,
    versions: dict[str, Bundle],
    tmp_path: Path,
    make: Callable[[Path], object],
    said: str,
) -> None:
    make(tmp_path / "bundle")
    connection = running.connection()
    predict(connection)
    before = len(running.refused())
    running.reload(tmp_path / "bundle")
    until(lambda: len(running.refused()) > before, "it is refused")
    (line,) = running.refused()[before:]
    assert line["level"] == "error"
    assert said in line["reason"]
    assert "exception" not in line
    answer = predict(connection)  # on the connection from before
    assert answer["model"]["version"] == "3"
    assert_answers(answer, versions["3"], INPUTS)
    assert read_page(connection, "/readyz")
    assert not (tmp_path.parent / "evil").exists()
    connection.close()


def test_a_service_that_was_given_a_folder_takes_what_is_renamed_into_its_place(
    deploy: Callable[..., Deployment], tiny_bundle: Path, next_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    deployment = deploy(folder)
    folder.rename(tmp_path / "before")
    shutil.copytree(next_bundle, folder)
    deployment.service.process.send_signal(signal.SIGHUP)
    until(lambda: len(deployment.loaded()) == 1, "it is opened again")
    connection = deployment.connection()
    assert predict(connection)["model"]["version"] == "4"
    connection.close()


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_a_terminal_that_is_closed_ends_what_ran_in_it(
    tiny_bundle: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    terminal, inside = pty.openpty()
    service = start_service(tiny_bundle, *flags, log=tmp_path / "log", stdin=inside)
    os.close(inside)
    service.process.send_signal(signal.SIGHUP)  # the terminal is there: a bundle
    until(
        lambda: any(line["message"] == "bundle loaded" for line in service.log_lines()),
        "the bundle was opened again",
    )
    os.close(terminal)
    assert service.stop(signal.SIGHUP) == 0
