"""One run that TensorBoard, MLflow and Weights & Biases track: what each of them reads back."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tailfuse
from tailfuse.training.state import read_log
from tailfuse_service.bundle import Manifest, read_manifest

from tests.support.programs import find

TRACKERS = ("tensorboard", "mlflow", "wandb")
# Of these packages, and of those that they import.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*AnyType:UserWarning"),
]
SERVE_S = 120


class Tracked(NamedTuple):
    run: Path
    store: str  # of MLflow

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.run / "bundle")

    def read_losses(self, stage: str) -> list[float]:
        return [line["loss"] for line in read_log(self.run / f"{stage}.csv")]


@pytest.fixture(scope="module")
def tracked(leaves_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    """A run with the trackers that are installed, continued once after its end."""
    folder = tmp_path_factory.mktemp("tracked")
    store = f"sqlite:///{folder}/mlflow.db"
    options: dict[str, Any] = {"mlflow": {"tracking_uri": store}, "wandb": {"offline": True}}
    trackers = {name: options.get(name) for name in TRACKERS if find(name)}
    overrides = [
        f"training.trackers={json.dumps(trackers)}",
        "training.epochs=2", "training.folds=2", "network.width=4",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # MLflow keeps files of models there
        patch.setenv("WANDB_MODE", "offline")  # Lightning sets it for the rest of the process
        patch.setenv("MLFLOW_TRACKING_URI", store)  # likewise
        spec = leaves_in(folder)
        tailfuse.train(spec, folder / "run", overrides=overrides)
        tailfuse.train(spec, folder / "run", overrides=overrides, resume=True)
        yield Tracked(folder / "run", store)


@pytest.mark.needs("tensorboard")
def test_tensorboard_reads_each_epoch_once(tracked: Tracked) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tracked.run / "tensorboard"))
    events.Reload()
    for stage in ("final", "fold-0", "fold-1"):
        scalars = events.Scalars(f"{stage}/loss")
        assert [each.step for each in scalars] == [0, 1]
        assert [each.value for each in scalars] == pytest.approx(tracked.read_losses(stage))
    [accuracy] = events.Scalars("test/as given/accuracy")
    assert accuracy.value == pytest.approx(tracked.manifest.metrics["as given"].accuracy)


@pytest.mark.needs("mlflow")
def test_mlflow_has_parameters_and_metrics_in_one_run(tracked: Tracked) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracked.store)
    [experiment] = client.search_experiments(filter_string="name = 'leaves'")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    assert run.data.params["training.epochs"] == "2"
    assert run.data.params["table"] == "table.csv"
    assert run.data.metrics["test/as given/accuracy"] == tracked.manifest.metrics["as given"].accuracy
    history = {each.step: each.value for each in client.get_metric_history(run.info.run_id, "final/loss")}
    assert list(history.values()) == pytest.approx(tracked.read_losses("final"))


@pytest.fixture(scope="module")
def model_uri(tracked: Tracked) -> str:
    """Where MLflow has the bundle as a model."""
    from mlflow import MlflowClient

    client = MlflowClient(tracked.store)
    [experiment] = client.search_experiments(filter_string="name = 'leaves'")
    [run] = client.search_runs([experiment.experiment_id])
    return f"runs:/{run.info.run_id}/model"


ROWS: list[dict[str, Any]] = [
    {"length": 1.5, "angle": -1.0, "side": "left"},
    {"note": "pointed leaf 3"},
    {},
    {"picture": "bm8gaW1hZ2U=", "length": 0.1},
]


def check_answers(answers: list[dict[str, Any]], bundle: Path) -> None:
    """Check the answers to ROWS against those of the bundle."""
    first, second, third, fourth = answers
    columns: dict[str, list[Any]] = {
        name: [row.get(name) for row in ROWS[:2]] for name in ("length", "angle", "side", "note")
    }
    model = tailfuse.load(bundle)
    expected = model.predict_proba(columns)
    for answer, row in zip((first, second), expected, strict=True):
        by_class = [answer[f"probability.{name}"] for name in model.classes_]
        assert by_class == pytest.approx(row, abs=1e-6)
        assert answer["label"] == model.classes_[row.argmax()]
    assert first["weight.veins"] == 1.0
    assert first["confidence.note"] is None
    assert third["label"] is None
    assert third["error"] is None
    assert "column 'picture'" in fourth["error"]


@pytest.mark.needs("mlflow")
def test_the_model_of_mlflow_answers_as_its_bundle(tracked: Tracked, model_uri: str) -> None:
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model(model_uri)
    names = [each.name for each in model.metadata.signature.inputs]
    assert names == ["picture", "length", "angle", "side", "note"]
    assert not any(each.required for each in model.metadata.signature.inputs)
    answers = model.predict(pd.DataFrame(ROWS)).to_dict("records")
    check_answers(answers, tracked.run / "bundle")
    example = model.input_example
    assert example["note"].to_list() == ["A few words about the sample."]  # made up, of no table
    [answer] = model.predict(example).to_dict("records")
    assert answer["label"] in ("oak", "elm", "ash")


@pytest.mark.needs("mlflow")
@pytest.mark.parametrize("path", ["table.csv", "/etc/hostname", "pictures/1.png", "[1]"])
def test_the_model_of_mlflow_reads_no_path(tracked: Tracked, path: str) -> None:
    import pandas as pd
    from mlflow.exceptions import MlflowException
    from tailfuse.api.mlflow_model import BundleModel

    model = BundleModel(tailfuse.load(tracked.run / "bundle"))
    with pytest.raises(MlflowException, match=r"row 2: column 'picture' holds the text .* file in base64"):
        model.predict(pd.DataFrame({"picture": [None, path]}))


@pytest.mark.needs("mlflow")
def test_a_signature_lets_every_value_be_missing(tiny_bundle: Path, tmp_path: Path) -> None:
    import mlflow
    import pandas as pd
    from mlflow.pyfunc.scoring_server import invocations
    from tailfuse.api.mlflow_model import make_example, make_signature

    manifest = read_manifest(tiny_bundle)
    mlflow.pyfunc.save_model(
        str(tmp_path / "model"), loader_module="tailfuse.api.mlflow_model", data_path=str(tiny_bundle),
        signature=make_signature(manifest), input_example=make_example(manifest),
        pip_requirements=["tailfuse"],
    )  # fmt: skip
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    types = {each.name: getattr(each.type, "name", "any") for each in model.metadata.signature.inputs}
    names = ("image", "age", "pulse", "smoker", "site", "title", "review")
    assert types == {**dict.fromkeys(names, "any"), "age": "double", "pulse": "double"}
    rows = pd.DataFrame(
        {"age": [61.0, None], "smoker": [None, True], "site": [None, "back"], "image": [None, None],
         "review": ["itchy", None]},
        index=[7, 7],
    )  # fmt: skip
    answers = model.predict(rows)
    assert answers.index.to_list() == [7, 7]
    assert answers["label"].notna().all()
    assert answers["error"].isna().all()
    with pytest.raises(mlflow.MlflowException, match="age"):
        model.predict(pd.DataFrame({"age": ["old"]}))
    # Null is missing in every form of a request, and no category or text "None".
    for body in (
        {"inputs": {"site": ["back", None], "review": ["itchy", None]}},
        {"dataframe_records": [{"site": "back", "review": "itchy"}, {"site": None, "review": None}]},
        {"dataframe_split": {"columns": ["site", "review"], "data": [["back", "itchy"], [None, None]]}},
    ):
        schema = model.metadata.get_input_schema()
        response = invocations(json.dumps(body), "application/json", model, schema)
        labels = [each["label"] for each in json.loads(response.response)["predictions"]]
        assert labels[0] is not None
        assert labels[1] is None


@pytest.mark.needs("mlflow")
def test_mlflow_serves_the_bundle_without_torch(tracked: Tracked, model_uri: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tracked.run.parent / "serve.log"
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    serve = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model_uri, "--env-manager", "local"]
    with log.open("wb") as file:
        server = subprocess.Popen(
            [*serve, "--host", "127.0.0.1", "--port", str(port)],
            env=environment, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/ping", server, log)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"dataframe_records": ROWS}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SERVE_S) as response:
            check_answers(json.load(response)["predictions"], tracked.run / "bundle")
        if sys.platform == "linux":
            assert not any("libtorch" in maps for maps in read_maps(server.pid))
    finally:
        os.killpg(server.pid, 15)
        server.wait(SERVE_S)


def wait_until_it_answers(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + SERVE_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(log.read_text())


def read_maps(group: int) -> list[str]:
    """Return what is mapped into the memory of each process of a group."""
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    found = []
    for process in processes:
        try:
            if os.getpgid(process) == group:
                found.append(Path(f"/proc/{process}/maps").read_text())
        except (OSError, ProcessLookupError):  # it has ended
            continue
    assert found
    return found


@pytest.mark.needs("wandb")
def test_wandb_keeps_the_run_offline_and_continues_it(tracked: Tracked) -> None:
    runs = sorted((tracked.run / "wandb").glob("offline-run-*"))
    assert len({run.name.rpartition("-")[2] for run in runs}) == 1  # the id that both processes gave
    [file] = runs[0].glob("run-*.wandb")
    written = file.read_bytes()

    def read(key: str) -> list[Any]:
        # Protocol buffers: behind a key comes field 16, its value as JSON.
        found = re.findall(re.escape(key.encode()) + rb"\x82\x01.([-\w.]+)", written, re.DOTALL)
        return list(map(json.loads, found))

    assert set(read("training.epochs")) == {2}
    assert set(read("final/loss")) == set(tracked.read_losses("final"))
    assert set(read("test/as given/accuracy")) == {tracked.manifest.metrics["as given"].accuracy}


@pytest.mark.needs("tensorboard")
def test_trackers_leave_the_bundle_as_it_is(
    tracked: Tracked, leaves_in: Callable[..., Path], tmp_path: Path
) -> None:
    overrides = ["training.epochs=2", "training.folds=2", "network.width=4"]
    plain = tailfuse.train(leaves_in(tmp_path), tmp_path / "run", overrides=overrides)
    assert plain.manifest.files["model.onnx"] == tracked.manifest.files["model.onnx"]
    assert plain.manifest.spec["training"] == tracked.manifest.spec["training"]
