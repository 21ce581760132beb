"""Trackers: the spec's key, what they are given, and what becomes of a run when one of them fails."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tailfuse
from lightning_fabric.loggers.logger import Logger
from lightning_fabric.utilities.rank_zero import rank_zero_only
from tailfuse.api import trackers as module
from tailfuse.api.trackers import STATE, Trackers, flatten_metrics, flatten_spec
from tailfuse.errors import RunError, SpecError
from tailfuse.spec.schema import Spec, load_spec, make_spec
from tailfuse.training.state import Epoch
from tailfuse_service.bundle import read_manifest
from tailfuse_service.bundle.manifest import SubsetMetrics

QUICK = ("training.epochs=2", "training.folds=2", "network.width=4")


def make(trackers: Any, **keys: Any) -> Spec:
    modalities = {"veins": {"kind": "tabular", "columns": ["length", "ångström / 2"]}}
    training = {} if trackers is None else {"trackers": trackers}
    return make_spec(
        {"name": "leaves", "table": "a/b/leaves.csv", "label": "label", "modalities": modalities,
         "training": training, **keys}
    )  # fmt: skip


class FakeLogger(Logger):
    """Keeps what it is given; raises in the calls whose names are in `broken`."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.calls: list[tuple[Any, ...]] = []

    def _record(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] in self.broken:
            raise ConnectionError("the server is away")

    name = "fake"
    version = "7"

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self._record("parameters", params)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self._record("metrics", metrics, step)

    def finalize(self, status: str) -> None:
        self._record("end", status)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[FakeLogger, list[Any]]]:
    """`fake(*broken)` is started in place of MLflow; also the ids that it was started with."""

    def install(*broken: str) -> tuple[FakeLogger, list[Any]]:
        logger, started = FakeLogger(*broken), []

        def start(spec: Spec, folder: Path, run_id: str | None) -> Logger:
            started.append(run_id)
            if "start" in broken:
                raise ConnectionError("the server\nis away")
            return logger

        monkeypatch.setitem(module.START, "mlflow", start)
        monkeypatch.setitem(module.PACKAGES, "mlflow", ())
        return logger, started

    return install


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (None, []),
        (["csv"], []),
        ([], []),
        (("mlflow", "csv", "tensorboard"), ["tensorboard", "mlflow"]),
        ({"wandb": {"offline": "true"}, "mlflow": None}, ["mlflow", "wandb"]),
    ],
)
def test_trackers_are_a_list_or_a_mapping(written: Any, names: list[str]) -> None:
    assert make(written).training.trackers.names == names


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["mlflo"], "'mlflo' is none of csv, tensorboard, mlflow, wandb; did you mean 'mlflow'?"),
        ("mlflow", "training.trackers: takes a list of csv, tensorboard, mlflow, wandb, or a mapping"),
        (["csv", "csv"], "names a tracker twice: csv, csv"),
        ([{"mlflow": {}}], "takes a list of"),
        ({"mlflow": {"tracking_url": "x"}}, "mlflow.tracking_url: unknown key; did you mean 'tracking_uri'?"),
        ({"tensorboard": {"folder": "x"}}, "training.trackers.tensorboard.folder: unknown key"),
        ({"wandb": {"offline": "perhaps"}}, "training.trackers.wandb.offline: Input should be a valid bool"),
        ({"wandb": "leaves"}, "training.trackers.wandb: takes keys with values of their own"),
    ],
)  # fmt: skip
def test_a_mistake_in_trackers_is_named(written: Any, said: str) -> None:
    with pytest.raises(SpecError, match=r"^training\.trackers") as error:
        make(written)
    assert said in str(error.value)


def test_trackers_are_in_no_bundle_and_no_run() -> None:
    spec = make({"mlflow": {"tracking_uri": "http://me:secret@example.org"}})
    assert "secret" not in spec.model_dump_json()
    assert "trackers" not in spec.model_dump()["training"]


def test_parameters_name_no_folder_and_are_flat() -> None:
    parameters = flatten_spec(make(["mlflow"], prior={"a/b: c": 0.25, "d": 0.75}))
    assert parameters["table"] == "leaves.csv"
    assert parameters["training.mixup"] == 0.5
    assert "training.epochs" not in parameters  # null in the spec
    assert parameters["modalities.veins.columns"] == '["length", "ångström / 2"]'
    assert parameters["prior"] == '{"a/b: c": 0.25, "d": 0.75}'
    assert all(isinstance(each, str | int | float | bool) for each in parameters.values())


def test_metrics_have_names_that_every_tracker_takes() -> None:
    blank = dict.fromkeys(SubsetMetrics.model_fields)
    metrics = SubsetMetrics.model_validate({**blank, "rows": 3, "accuracy": 0.5})
    assert flatten_metrics({"test": {"image+note": metrics}}) == {
        "test/image-note/rows": 3.0,
        "test/image-note/accuracy": 0.5,
    }


def test_a_missing_package_is_named_before_the_training(
    leaves_in: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "mlflow" else object())
    said = r"^training\.trackers: mlflow needs mlflow, which the extra 'mlflow' brings: pip install"
    with pytest.raises(RunError, match=said):
        tailfuse.train(leaves_in(tmp_path), tmp_path / "run", overrides=["training.trackers=[mlflow]"])
    assert not (tmp_path / "run").exists()
    with pytest.raises(RunError, match=said):
        tailfuse.Classifier(training={"trackers": ["mlflow"]}).fit([[1.0], [2.0]] * 20, ["a", "b"] * 20)
    spec = load_spec(tmp_path / "spec.yaml", ["training.trackers=[mlflow]"])
    with pytest.raises(RunError, match=said):
        tailfuse.cross_validate(spec)
    with pytest.raises(RunError, match=said):
        tailfuse.compare(spec)


@pytest.mark.slow
def test_a_tracker_gets_parameters_epochs_and_the_result(
    leaves_in: Callable[..., Path], tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]]
) -> None:
    logger, started = fake()
    logged: list[Any] = []
    spec, run = leaves_in(tmp_path), tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "log_model", lambda *call: logged.append(call))
        tailfuse.train(spec, run, overrides=["training.trackers=[mlflow]", *QUICK])
        first, *others = logger.calls
        assert first[0] == "parameters"
        assert first[1]["training.epochs"] == 2
        steps = [
            (call[2], sorted(call[1])) for call in others if call[0] == "metrics" and call[2] is not None
        ]
        rates = ["learning_rate", "loss", "val_balanced_accuracy", "val_loss"]
        assert [step for step, _ in steps] == [0, 1] * 3
        assert steps[0][1] == [f"final/{name}" for name in rates]
        assert steps[-1][1] == ["fold-1/learning_rate", "fold-1/loss"]  # a fold network is not validated
        manifest = read_manifest(run / "bundle")
        result = others[-2][1]
        assert result["test/as given/accuracy"] == manifest.metrics["as given"].accuracy
        assert result["validation/note/nll"] == manifest.validation_metrics["note"].nll
        assert others[-1] == ("end", "success")
        assert logged == [(run / "bundle", "7")]

        # A run that goes on is the same one, and has all of its epochs again.
        logger.calls.clear()
        tailfuse.train(spec, run, overrides=["training.trackers=[mlflow]", *QUICK], resume=True)
        assert [call[2] for call in logger.calls if call[0] == "metrics"] == [0, 1, 0, 1, 0, 1, None]
        assert started == [None, "7"]
    assert json.loads((run / STATE).read_text()) == {"mlflow": "7"}
    assert "trackers" not in (run / "run.json").read_text()


def test_a_tracker_that_fails_does_not_end_the_training(
    tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    logger, _ = fake("metrics")
    with caplog.at_level(logging.WARNING, "tailfuse"), Trackers(make(["mlflow"]), tmp_path) as trackers:
        trackers.start()
        for epoch in range(3):
            trackers.log_epoch("final", epoch, {"loss": 1.0})
        trackers.log_result({})
    assert [call[0] for call in logger.calls] == ["parameters", "metrics"]
    assert [each.getMessage() for each in caplog.records] == [
        "training.trackers: mlflow failed and gets nothing more of this run: the server is away"
    ]


def test_a_tracker_that_cannot_start_is_an_error(
    tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]]
) -> None:
    for broken in ("start", "parameters"):
        fake(broken)
        with (
            pytest.raises(RunError, match=r"^training\.trackers: mlflow: the server is away$"),
            Trackers(make(["mlflow"]), tmp_path) as trackers,
        ):
            trackers.start()


def test_ids_of_a_damaged_file_are_refused(
    tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]]
) -> None:
    fake()
    (tmp_path / STATE).write_text("[]")
    with pytest.raises(RunError, match="is damaged; delete it"):
        Trackers(make(["mlflow"]), tmp_path).start(resume=True)
    Trackers(make(["mlflow"]), tmp_path).start()
    assert json.loads((tmp_path / STATE).read_text()) == {"mlflow": "7"}


def test_a_run_that_is_replaced_is_not_continued(
    tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]]
) -> None:
    _, started = fake()
    Trackers(make(["mlflow"]), tmp_path).start()
    Trackers(make(["csv"]), tmp_path).start()  # with --overwrite
    Trackers(make(["mlflow"]), tmp_path).start(resume=True)
    assert started == [None, None]


def test_a_training_that_fails_ends_its_trackers_as_failed(
    tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]]
) -> None:
    logger, _ = fake()

    def train() -> None:
        with Trackers(make(["mlflow"]), tmp_path) as trackers:
            trackers.start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert logger.calls[-1] == ("end", "failed")


def test_other_processes_than_the_first_log_nothing(
    tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, started = fake()
    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    with Trackers(make(["mlflow"]), tmp_path) as trackers:
        trackers.start()
        trackers.log_epoch("final", 0, {"loss": 1.0})
    assert not started
    assert not logger.calls


def test_what_is_not_validated_is_not_logged(
    tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]]
) -> None:
    logger, _ = fake()
    with Trackers(make(["mlflow"]), tmp_path) as trackers:
        trackers.start()
        line = Epoch(4, 0.5, float("nan"), float("nan"), 0.1)._asdict()
        trackers.log_epoch("fold-0", int(line.pop("epoch")), line)
    assert logger.calls[1] == ("metrics", {"fold-0/loss": 0.5, "fold-0/learning_rate": 0.1}, 4)


def test_a_training_in_memory_is_tracked_too(
    tmp_path: Path, fake: Callable[..., tuple[FakeLogger, list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, _ = fake()
    monkeypatch.chdir(tmp_path)
    training = {"epochs": 1, "folds": 0, "trackers": ["mlflow"]}
    tailfuse.Classifier(training=training).fit([[1.0], [2.0]] * 20, ["a", "b"] * 20)
    assert [call[0] for call in logger.calls] == ["parameters", "metrics", "end"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_each_fold_of_a_cross_validation_is_a_run(
    leaves_in: Callable[..., Path],
    tmp_path: Path,
    fake: Callable[..., tuple[FakeLogger, list[Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger, started = fake()
    monkeypatch.chdir(tmp_path)
    overrides = ["training.trackers=[mlflow]", "training.epochs=1", "training.folds=0", "network.width=4"]
    result = tailfuse.cross_validate(load_spec(leaves_in(tmp_path), overrides), folds=2)
    assert started == [None, None]
    figures = [call[1] for call in logger.calls if call[0] == "metrics" and call[2] is None]
    assert [each["test/as given/accuracy"] for each in figures] == result.scores["accuracy"].to_list()
