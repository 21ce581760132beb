"""MLflow, with a database and files on this machine, and with its server."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import tailfuse
from tailfuse_service.bundle import BundleError
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.cache import BundleCache
from tailfuse_service.stores.fetch import Limits
from tailfuse_service.stores.mirror import Mirror
from tailfuse_service.stores.mlflow_store import VARIABLES, talk
from tailfuse_service.stores.store import READ_S

from tests.support.bundles import write_tiny_bundle
from tests.support.clouds import serve_mlflow

pytestmark = [
    pytest.mark.needs("mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(
    scope="module",
    params=["files", pytest.param("server", marks=[pytest.mark.needs("flask"), pytest.mark.slow])],
)
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from mlflow import MlflowClient, set_tracking_uri

    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "skin")
        if request.param == "server":
            set_tracking_uri(stack.enter_context(serve_mlflow(folder)))
            MlflowClient().create_experiment("skin")
        else:
            set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
            MlflowClient().create_experiment("skin", artifact_location=f"file://{folder}/artifacts")
        yield MlflowClient()
        set_tracking_uri("")


def test_versions_of_a_model_are_pushed_followed_and_pulled(
    client: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tailfuse.push(write_tiny_bundle(tmp_path / "b1", version="1"), "mlflow:models:/skin")
    address = Address("mlflow", "models:/skin")
    mirror = Mirror(address, BundleCache(tmp_path / "cache"), Limits(), poll_s=0, timeout_s=120)
    mirror.start()
    assert mirror.names == ["1"]
    tailfuse.push(write_tiny_bundle(tmp_path / "b2", version="2"), "mlflow:models:/skin")
    mirror.follow()
    assert mirror.names == ["1", "2"]
    client.set_registered_model_alias("skin", "champion", 2)
    assert tailfuse.pull("mlflow:models:/skin@champion", tmp_path / "c2").version == "2"
    assert tailfuse.pull("mlflow:models:/skin/1", tmp_path / "c1").version == "1"
    for file in (tmp_path / "b1").iterdir():
        assert (tmp_path / "c1" / file.name).read_bytes() == file.read_bytes()
    assert not any(name in os.environ for name in VARIABLES)
    printed = capfd.readouterr()
    assert printed.out == "", "what `push --json` prints is JSON"
    assert "Downloading" not in printed.err
    with pytest.raises(BundleError, match="MLflow numbers its versions itself"):
        tailfuse.push(tmp_path / "b1", "mlflow:models:/skin/3")


def test_a_server_that_is_away_is_asked_for_seconds_unless_one_wants_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT

    usual = MLFLOW_HTTP_REQUEST_MAX_RETRIES.get()
    with talk():
        assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() < usual
        assert MLFLOW_HTTP_REQUEST_TIMEOUT.get() == READ_S
    assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == usual
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    with talk():
        assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 9
    assert MLFLOW_HTTP_REQUEST_MAX_RETRIES.get() == 9


def test_a_bundle_is_pushed_into_a_run(client: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    run = client.create_run(client.get_experiment_by_name("skin").experiment_id).info.run_id
    address = f"mlflow:runs:/{run}/models/skin"
    tailfuse.push(tiny_bundle, address)
    assert tailfuse.pull(address, tmp_path / "copy").version == "3"
    with pytest.raises(BundleError, match="files are there already"):
        tailfuse.push(tiny_bundle, address)


def test_the_bundle_of_a_model_that_mlflow_serves_is_found(
    client: Any, tiny_bundle: Path, tmp_path: Path
) -> None:
    run = client.create_run(client.get_experiment_by_name("skin").experiment_id).info.run_id
    (tmp_path / "MLmodel").write_text("flavors: {}")
    client.log_artifact(run, str(tmp_path / "MLmodel"), "model")
    client.log_artifacts(run, str(tiny_bundle), "model/data/bundle")
    assert tailfuse.pull(f"mlflow:runs:/{run}/model", tmp_path / "copy").version == "3"


@pytest.mark.parametrize(
    "path", ["models:/nobody", "models:/nobody@champion", "models:/nobody/1", "runs:/no/x"]
)
def test_what_is_not_there_is_one_sentence(client: Any, tmp_path: Path, path: str) -> None:
    with pytest.raises(BundleError, match=f"^mlflow:{path}: nothing is there$"):
        tailfuse.pull(f"mlflow:{path}", tmp_path / "copy")


@pytest.mark.parametrize("path", ["skin", "models:/skin/x", "models:/", "runs:/abc", "s3://bucket/x"])
def test_an_address_of_another_form_is_refused(client: Any, tmp_path: Path, path: str) -> None:
    with pytest.raises(Exception, match=r"mlflow:models:/NAME|must not hold"):
        tailfuse.pull(f"mlflow:{path}", tmp_path / "copy")
