"""KServe's clients ask a running service, and print what they ask and get: HTTP_URL GRPC_ADDRESS.

Runs in an environment of KServe's own, which wants an older pandas: `make clients`. It cannot be imported
beside tritonclient.grpc either: both register the protocol's messages.
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

MODEL = "skin-lesions"
CLINICAL = [["61", "70.5", "true", "back"], ["", "80", "", "face"]]


def request(*, binary: bool) -> InferRequest:
    """Two rows: columns and a note, and columns alone."""
    clinical, notes = InferInput("clinical", [2, 4], "BYTES"), InferInput("notes", [2], "BYTES")
    clinical.set_data_from_numpy(np.array(CLINICAL, object), binary_data=binary)
    notes.set_data_from_numpy(np.array(["an itching mole", ""], object), binary_data=binary)
    return InferRequest(MODEL, [clinical, notes], request_id="mine")


def show(what: str, answer: object) -> None:
    print(f">>> {what}\n{answer}\n")


def checked(response: object) -> str:
    """What is worth showing of an InferResponse."""
    found = {output.name: output.as_numpy() for output in response.outputs}  # type: ignore[attr-defined]
    assert found["probabilities"].shape == (2, 3)
    np.testing.assert_allclose(found["probabilities"].sum(1), 1, atol=1e-5)
    assert response.id == "mine"  # type: ignore[attr-defined]
    return "\n".join(f"{name}: {values.tolist()}" for name, values in found.items())


async def kserve(url: str, grpc_address: str) -> None:
    """InferenceRESTClient, with JSON and with bytes, and InferenceGRPCClient; both are asynchronous."""
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    for name, there in (
        ("is_server_live", await client.is_server_live(url)),
        ("is_server_ready", await client.is_server_ready(url)),
        ("is_model_ready", await client.is_model_ready(url, MODEL)),
    ):
        assert there is True
        show(f"InferenceRESTClient.{name}", there)
    assert await client.is_model_ready(url, "other") is False
    answers = []
    for binary in (False, True):
        response = await client.infer(url, request(binary=binary), model_name=MODEL)
        answers.append(checked(response))
        show(f"InferenceRESTClient.infer, {'bytes' if binary else 'JSON'}", answers[-1])
    try:
        await client.infer(url, request(binary=False), model_name="other")
    except Exception as error:
        told = str(error)
    else:
        told = "an answer"
    assert "unknown model 'other'; loaded: skin-lesions" in told
    show("InferenceRESTClient.infer, another model", told)
    await client.close()
    async with InferenceGRPCClient(grpc_address) as over_grpc:
        assert await over_grpc.is_server_ready()
        assert await over_grpc.is_model_ready(MODEL)
        answers.append(checked(await over_grpc.infer(request(binary=True))))
        show("InferenceGRPCClient.infer", answers[-1])


if __name__ == "__main__":
    asyncio.run(kserve(sys.argv[1], sys.argv[2]))
