"""KServe's types and client check deploy/kserve: URL NAME FILE… of a service that was started as they say.

Runs in an environment of KServe's own: `make clients`.
"""

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kserve.models
import kubernetes.client.models
import numpy as np
import yaml
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

TYPES = {
    "ClusterServingRuntime": "V1alpha1ClusterServingRuntime",
    "InferenceService": "V1beta1InferenceService",
}
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def find_faults(value: Any, kind: str, where: str) -> Iterator[str]:
    """Yield what a value has that its type does not have, or has otherwise."""
    if (inner := re.fullmatch(r"(list|dict)[\[(](?:str, ?)?(.+)[\])]", kind)) is not None:
        container, of = inner.groups()
        if not isinstance(value, {"list": list, "dict": dict}[container]):
            yield f"{where}: {value!r} is no {container}"
            return
        each = enumerate(value) if container == "list" else value.items()
        for key, child in each:
            yield from find_faults(child, of, f"{where}/{key}")
        return
    if kind in PLAIN:
        if not isinstance(value, PLAIN[kind]):  # type: ignore[arg-type]
            yield f"{where}: {value!r} is no {kind}"
        return
    model = getattr(kserve.models, kind, None) or getattr(kubernetes.client.models, kind, None)
    if model is None:  # any value, such as a quantity
        return
    names = {json_name: name for name, json_name in model.attribute_map.items()}
    for key, child in value.items():
        if key not in names:
            yield f"{where}: {kind} has no '{key}'"
        else:
            yield from find_faults(child, model.openapi_types[names[key]], f"{where}/{key}")


def check_types(file: Path) -> None:
    resource = yaml.safe_load(file.read_text())
    faults = list(find_faults(resource, TYPES[resource["kind"]], resource["kind"]))
    print(f">>> {file.name}: {resource['kind']}\n{faults or 'fits its type'}\n")
    assert not faults


async def ask(url: str, name: str) -> None:
    """Ask for readiness and for predictions, under the name of the InferenceService."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_ready(url) is True
    assert await client.is_model_ready(url, name) is True
    notes = InferInput("notes", [2], "BYTES")
    notes.set_data_from_numpy(np.array(["an itching mole", "a spot"], object), binary_data=False)
    response = await client.infer(url, InferRequest(name, [notes]), model_name=name)
    assert response.model_name == name
    found = {output.name: output.as_numpy() for output in response.outputs}
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, atol=1e-5)
    print(f">>> InferenceRESTClient.infer, model {name}\n{found['label'].tolist()}\n")
    await client.close()


if __name__ == "__main__":
    address, model_name, *files = sys.argv[1:]
    for path in files:
        check_types(Path(path))
    assert next(find_faults({"spec": {"containres": []}}, "V1alpha1ClusterServingRuntime", "x"))
    asyncio.run(ask(address, model_name))
