"""NVIDIA's own client, unchanged: over REST and gRPC, waiting and asynchronous."""

import asyncio
import inspect
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.grpc.aio as over_grpc_aio
import tritonclient.http as over_http
import tritonclient.http.aio as over_http_aio
from tailfuse_service.bundle import Bundle
from tritonclient.utils import InferenceServerException

from tests.support.oip.tensors import CLINICAL, MODEL, NOTES, get_answers
from tests.support.process import Service

pytestmark = pytest.mark.e2e

CLIENTS = {"http": over_http, "http.aio": over_http_aio, "grpc": over_grpc, "grpc.aio": over_grpc_aio}


class Triton:
    """One of the clients; the asynchronous ones are waited for."""

    def __init__(self, module: ModuleType, url: str) -> None:
        self.module = module
        self._loop = asyncio.new_event_loop()
        self._client = self._call(lambda: module.InferenceServerClient(url))

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **named: self._call(lambda: getattr(self._client, name)(*args, **named))

    def _call(self, make: Any) -> Any:
        async def waited() -> Any:
            made = make()
            return await made if inspect.isawaitable(made) else made

        return self._loop.run_until_complete(waited())

    def end(self) -> None:
        self._call(self._client.close)
        self._loop.close()

    def inputs(self, **json: Any) -> list[Any]:
        given = {"clinical": (CLINICAL, [2, 4]), "notes": (NOTES, [2])}
        inputs = []
        for name, (values, shape) in given.items():
            tensor = self.module.InferInput(name, shape, "BYTES")
            tensor.set_data_from_numpy(
                np.array([each.encode() for each in values], object).reshape(shape), **json
            )
            inputs.append(tensor)
        return inputs


@pytest.fixture(params=list(CLIENTS))
def triton(request: pytest.FixtureRequest, service: Service, grpc_address: str) -> Any:
    url = grpc_address if "grpc" in request.param else service.url.removeprefix("http://")
    client = Triton(CLIENTS[request.param], url)
    yield client
    client.end()


def check(result: Any, bundle: Bundle) -> None:
    """The answer is the bundle's own."""
    expected = get_answers(bundle)
    for name in ("probabilities", "weights", "confidences"):
        np.testing.assert_allclose(result.as_numpy(name), getattr(expected, name), atol=2e-6)
    names = [bundle.manifest.class_names[at] for at in expected.probabilities.argmax(1)]
    assert [label.decode() for label in result.as_numpy("label")] == names


def test_it_asks_what_is_there(triton: Triton) -> None:
    assert triton.is_server_live() is True
    assert triton.is_server_ready() is True
    assert triton.is_model_ready(MODEL) is True
    assert triton.is_model_ready(MODEL, "3") is True
    server, model = triton.get_server_metadata(), triton.get_model_metadata(MODEL)
    if isinstance(model, dict):
        assert server["name"] == "tailfuse"
        names = [each["name"] for each in model["inputs"]]
    else:
        assert server.name == "tailfuse"
        names = [each.name for each in model.inputs]
    assert names == ["image", "clinical", "notes", "presence"]


def test_it_asks_for_predictions(triton: Triton, bundle: Bundle) -> None:
    result = triton.infer(MODEL, triton.inputs(), request_id="mine")
    check(result, bundle)
    response = result.get_response()
    assert (response["id"] if isinstance(response, dict) else response.id) == "mine"


def test_it_asks_for_some_outputs_of_a_version(triton: Triton) -> None:
    wanted = [triton.module.InferRequestedOutput(name) for name in ("weights", "label")]
    result = triton.infer(MODEL, triton.inputs(), model_version="3", outputs=wanted)
    assert result.as_numpy("weights").shape == (2, 3)
    assert result.as_numpy("probabilities") is None


def test_it_sends_pictures_and_numbers_of_single_columns(triton: Triton, picture: bytes) -> None:
    image = triton.module.InferInput("image", [2, 1], "BYTES")
    image.set_data_from_numpy(np.array([[picture], [b""]], object))
    age = triton.module.InferInput("clinical.age", [2], "FP32")
    age.set_data_from_numpy(np.array([np.nan, 50], np.float32))
    weights = triton.infer(MODEL, [image, age]).as_numpy("weights")
    assert (weights > 0).tolist() == [[True, False, False], [False, True, False]]


def test_it_is_told_what_is_wrong(triton: Triton) -> None:
    with pytest.raises(InferenceServerException, match="unknown model 'other'"):
        triton.infer("other", triton.inputs())
    wrong = triton.module.InferInput("clinical", [1, 3], "BYTES")
    wrong.set_data_from_numpy(np.array([[b"1", b"2", b"3"]], object))
    with pytest.raises(InferenceServerException, match=r"input 'clinical': BYTES \[1, 3\]"):
        triton.infer(MODEL, [wrong])


def test_it_compresses(triton: Triton, bundle: Bundle) -> None:
    if "http" in triton.module.__name__:
        for how in ("gzip", "deflate"):
            named = {"request_compression_algorithm": how, "response_compression_algorithm": how}
            check(triton.infer(MODEL, triton.inputs(), **named), bundle)
    else:
        check(triton.infer(MODEL, triton.inputs(), compression_algorithm="gzip"), bundle)


@pytest.mark.parametrize("module", [over_http, over_http_aio])
def test_over_rest_it_may_speak_json(module: ModuleType, service: Service, bundle: Bundle) -> None:
    triton = Triton(module, service.url.removeprefix("http://"))
    names = ("probabilities", "label", "weights", "confidences")
    outputs = [module.InferRequestedOutput(name, binary_data=False) for name in names]
    result = triton.infer(MODEL, triton.inputs(binary_data=False), outputs=outputs)
    expected = get_answers(bundle)
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected.probabilities, atol=2e-6)
    triton.end()
