"""Metadata of the server and of models: their input and output tensors."""

from functools import cache
from importlib.metadata import version
from typing import Any, TypedDict

from tailfuse_service.inference.engine import Engine
from tailfuse_service.modalities import Modality
from tailfuse_service.modalities.tensor import ANY, BYTES
from tailfuse_service.models.registry import ModelRegistry
from tailfuse_service.oip.inputs import PRESENCE
from tailfuse_service.settings import Settings


class TensorMetadata(TypedDict):
    """A tensor of a model, as the protocol describes it."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any]


class ModelMetadata(TypedDict):
    """`parameters`: `classes` in the order of `probabilities`, `modalities` in that of the other matrices."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, Any]


@cache
def server_metadata() -> dict[str, Any]:
    """Return the answer to GET /v2."""
    return {"name": "tailfuse", "version": version("tailfuse"), "extensions": ["binary_tensor_data"]}


def model_metadata(
    registry: ModelRegistry, engine: Engine, version: str | None, settings: Settings
) -> ModelMetadata:
    """Return the metadata of the named version, or of the stable one."""
    versions = registry.models[engine.manifest.name]
    manifest = (engine if version is not None else versions.stable or engine).manifest
    classes, modalities = manifest.class_names, list(manifest.modalities)
    presence = tensor(PRESENCE, "BOOL", len(modalities), columns=modalities, optional=True)
    return {
        "name": manifest.name,
        "versions": [each.manifest.version for each in versions],
        "platform": f"tailfuse_{settings.runtime}",
        "inputs": [*(describe_input(name, each) for name, each in manifest.modalities.items()), presence],
        "outputs": [
            tensor("probabilities", "FP32", len(classes), columns=classes),
            tensor("label", BYTES),
            tensor("weights", "FP32", len(modalities), columns=modalities),
            tensor("confidences", "FP32", len(modalities), columns=modalities),
        ],
        "parameters": {"classes": classes, "modalities": modalities},
    }


def describe_input(name: str, modality: Modality) -> TensorMetadata:
    """The tensor of a whole modality; every input may be left out."""
    form = modality.tensor_form()
    columns = {} if form.columns is None else {"columns": list(form.columns)}
    return tensor(name, form.datatype, *form.shape, **columns, kind=modality.kind, optional=True)


def tensor(name: str, datatype: str, *shape: int, **parameters: Any) -> TensorMetadata:
    """Rows come first."""
    return {"name": name, "datatype": datatype, "shape": [ANY, *shape], "parameters": parameters}
