"""Bundles in MLflow: files of a run, or versions of a registered model."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tailfuse_service.bundle import MANIFEST, BundleError
from tailfuse_service.stores.address import Address
from tailfuse_service.stores.store import PIECE_BYTES, READ_S, RemoteBundle, Report

MODEL = re.compile(r"models:/([^/@]+)(?:/(\d+)|@([^/]+))?")
RUN = re.compile(r"runs:/([^/]+)/(.+)")
DATA = "data"  # where a model that `mlflow models serve` runs has its bundle
VARIABLES = {  # of MLflow, unless they are set
    # Else it prints before the answer of `push --json`, and into the log of a service at each look.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Else it asks a server that is away for more than four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": f"{READ_S:.0f}",
}
MISSING, DENIED = "RESOURCE_DOES_NOT_EXIST", ("PERMISSION_DENIED", "UNAUTHENTICATED")


class MlflowStore:
    """`models:/NAME`, `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `runs:/RUN/FOLDER`.

    The server is that of MLFLOW_TRACKING_URI. Raises ImportError without mlflow.
    """

    def __init__(self, address: Address) -> None:
        from mlflow import MlflowClient

        model, run = MODEL.fullmatch(address.path), RUN.fullmatch(address.path)
        if model is None and run is None:
            raise BundleError(
                f"{address} is none of mlflow:models:/NAME, mlflow:models:/NAME/VERSION, "
                "mlflow:models:/NAME@ALIAS and mlflow:runs:/RUN/FOLDER"
            )
        self._client: MlflowClient = MlflowClient()
        self._uri = address.path
        named: tuple[str | None, ...] = model.groups() if model else (None, None, None)
        logged: tuple[str | None, ...] = run.groups() if run else (None, None)
        self._model, self._version, self._alias = named
        self._run, self._folder = logged

    def find(self) -> Mapping[str, RemoteBundle]:
        """Return the bundle of the run, version or alias, else those of all versions of the model."""
        with talk():
            if self._model is None or self._version is not None:
                return {"": MlflowBundle(self._uri)}
            if self._alias is not None:  # read once: it may move while files are fetched
                found = self._client.get_model_version_by_alias(self._model, self._alias)
                return {"": MlflowBundle(f"models:/{self._model}/{found.version}")}
            self._client.get_registered_model(self._model)
            versions = self._client.search_model_versions(f"name={quote(self._model)}")
            return {
                str(each.version): MlflowBundle(f"models:/{self._model}/{each.version}") for each in versions
            }

    def write(self, files: Sequence[Path], report: Report) -> None:
        """Log the files in the run, or in a new run as a new version of the model."""
        if self._version is not None or self._alias is not None:
            raise BundleError(f"push to mlflow:models:/{self._model}: MLflow numbers its versions itself")
        with talk():
            if self._run is not None:
                if self._client.list_artifacts(self._run, self._folder):
                    raise FileExistsError("files are there already; push to a new folder")
                self._log(self._run, str(self._folder), files, report)
                return
            run = self._client.create_run(self._find_experiment())
            self._log(run.info.run_id, "bundle", files, report)
            self._client.set_terminated(run.info.run_id)
            self._register(str(self._model), f"{run.info.artifact_uri}/bundle", run.info.run_id)

    def _log(self, run: str, folder: str, files: Sequence[Path], report: Report) -> None:
        for file in files:
            self._client.log_artifact(run, str(file), folder)
            report(file.name, file.stat().st_size)

    def _find_experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def _register(self, model: str, source: str, run: str) -> None:
        """Make a version of a model, which may be new."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        self._client.create_model_version(model, source, run)


class MlflowBundle:
    """The files below a URI of MLflow: those of a bundle, or of a model that has them in its data."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._paths: dict[str, str] | None = None  # of its files, by name

    def stream(self, file: str) -> Iterator[bytes]:
        """Yield a file in pieces; MLflow fetches it whole. Raises FileNotFoundError, MLflow's errors."""
        from mlflow.artifacts import download_artifacts

        with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
            with talk():
                path = self._find(file)
                fetched = Path(download_artifacts(artifact_uri=f"{self._uri}/{path}", dst_path=folder))
            with fetched.open("rb") as content:
                while piece := content.read(PIECE_BYTES):
                    yield piece

    def _find(self, file: str) -> str:
        """Return the path of a file below the URI. Raises FileNotFoundError."""
        if self._paths is None:
            self._paths = find_paths(self._uri)
        if file not in self._paths:
            raise FileNotFoundError(file)
        return self._paths[file]


def find_paths(uri: str) -> dict[str, str]:
    """Return the paths of a bundle's files by name; {} if there is no bundle."""
    files, folders = list_folder(uri, "")
    if MANIFEST not in files and DATA in folders:
        for folder in list_folder(uri, DATA)[1].values():
            files = list_folder(uri, folder)[0]
            if MANIFEST in files:
                break
    return files if MANIFEST in files else {}


def list_folder(uri: str, folder: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the paths of the files and of the folders in a folder below a URI, by name."""
    from mlflow.artifacts import list_artifacts

    found: Any = list_artifacts(artifact_uri=f"{uri}/{folder}" if folder else uri)
    names: tuple[dict[str, str], dict[str, str]] = {}, {}
    for each in found:
        name = each.path.rstrip("/").rpartition("/")[2]
        names[bool(each.is_dir)][name] = f"{folder}/{name}" if folder else name
    return names


def quote(name: str) -> str:
    """Return a name as a filter of MLflow has it. Raises BundleError if it has both kinds of quotes."""
    mark = '"' if "'" in name else "'"
    if mark in name:
        raise BundleError(f"the model's name {name:.80} has both kinds of quotes")
    return f"{mark}{name}{mark}"


@contextmanager
def talk() -> Iterator[None]:
    """Call MLflow with VARIABLES, and put back what was there.

    Raises FileNotFoundError and PermissionError in place of MLflow's errors that mean that.
    """
    from mlflow.exceptions import MlflowException

    added = {name: value for name, value in VARIABLES.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    except MlflowException as error:
        if error.error_code == MISSING:
            raise FileNotFoundError(str(error)) from error
        if error.error_code in DENIED or error.get_http_status_code() in (401, 403):
            raise PermissionError(str(error)) from error
        raise
    finally:
        for name in added:
            os.environ.pop(name, None)
