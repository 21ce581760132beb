"""A bundle as a model of MLflow, which `mlflow models serve` runs: onnxruntime answers, without torch."""

from base64 import b64decode
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import polars as pl
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType
from tailfuse_service.bundle import Manifest
from tailfuse_service.modalities import Modality, TabularModality

from tailfuse.api.model import Model, load
from tailfuse.errors import TableError
from tailfuse.scoring.answers import Counts, TableScorer, answer_schema

NAME = "model"  # of the model in its run
REQUIREMENTS = ("tailfuse", "polars", "pandas")
FILES = ("image", "series")  # kinds whose cells may be files


class BundleModel:
    """A model for MLflow: rows as a frame of pandas become answers as a frame of pandas."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return a line for each row, with the columns of `tailfuse predict`: `error` says why one has none.

        A file is bytes, or text in base64; never a path, for a request shall not read the files of a server.
        MLflow gives `params`, of which there are none. Raises MlflowException, whose message the server
        answers.
        """
        try:
            rows = self.model.read(decode_files(self.model.manifest.modalities, model_input))
            scorer = TableScorer(self.model.bundle, rows.folder)
            answers = pl.concat(scorer.score([rows.table], Counts())).drop("row")
        except TableError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        frame: pd.DataFrame = rows.give_back(answers)
        return frame.astype(object).where(frame.notna(), None)  # NaN is no JSON


def _load_pyfunc(data_path: str) -> BundleModel:
    """Open the bundle that MLflow has stored, as MLflow's loader modules do."""
    return BundleModel(load(data_path))


def decode_files(modalities: Mapping[str, Modality], rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the bytes of files that are given in base64. Raises TableError."""
    columns = [name for each in modalities.values() if each.kind in FILES for name in each.column_names]
    decoded = {
        column: [decode_file(column, row, value) for row, value in enumerate(rows[column], 1)]
        for column in columns
        if column in rows
    }
    return rows.assign(**{name: pd.Series(cells, rows.index, object) for name, cells in decoded.items()})


def decode_file(column: str, row: int, value: Any) -> Any:
    """Return a cell, a text in base64 as bytes. Raises TableError."""
    if not isinstance(value, str):
        return value
    try:
        return b64decode(value, validate=True)
    except ValueError:
        raise TableError(
            f"row {row}: column '{column}' holds the text {value!r:.40}; expected a file in base64"
        ) from None


def log_bundle(bundle: Path, run_id: str) -> None:
    """Log a bundle, with its signature and an example of made-up values, as the model of a run."""
    manifest = load(bundle).manifest
    with mlflow.start_run(run_id=run_id, nested=True):
        mlflow.pyfunc.log_model(
            name=NAME,
            loader_module=__name__,
            data_path=str(bundle),
            signature=make_signature(manifest),
            input_example=make_example(manifest),
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        )


def make_signature(manifest: Manifest) -> ModelSignature:
    """Return the columns of the rows, any of which may be missing, and those of the answers."""
    columns: dict[str, Any] = {}
    for modality in manifest.modalities.values():
        # In a column of strings MLflow turns null into the text "None", and it refuses null among booleans
        # and bytes: only numbers have a type.
        columns |= dict.fromkeys(modality.column_names, AnyType())
        if isinstance(modality, TabularModality):
            numbers = [each.name for each in modality.columns if each.type == "number"]
            columns |= dict.fromkeys(numbers, DataType.double)
    texts = ("label", "error")
    answers = {
        name: DataType.string if name in texts else DataType.double
        for name in answer_schema(manifest)
        if name != "row"
    }
    return ModelSignature(
        inputs=Schema([ColSpec(each, name, required=False) for name, each in columns.items()]),
        outputs=Schema([ColSpec(each, name, required=False) for name, each in answers.items()]),
    )


def make_example(manifest: Manifest) -> pd.DataFrame:
    """Return one row of plausible values, which is none of a table: means, a grey image, a wave."""
    row: dict[str, Any] = {}
    for modality in manifest.modalities.values():
        value, columns = modality.example(), modality.column_names
        if isinstance(value, dict):
            row |= value
        elif modality.kind == "series" and len(columns) > 1:  # a channel each
            row |= {column: [step[at] for step in value] for at, column in enumerate(columns)}
        else:
            row[columns[0]] = value
    return pd.DataFrame([row])
