"""NVIDIA's clients ask a running service, and print what they ask and get: HTTP_URL GRPC_ADDRESS."""

import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http

MODEL = "skin-lesions"
CLINICAL = [["61", "70.5", "true", "back"], ["", "80", "", "face"]]


def show(what: str, answer: object) -> None:
    print(f">>> {what}\n{answer}\n")


def main(url: str, grpc_address: str) -> None:
    """Both of them; tests/oip/test_triton.py has the asynchronous ones too."""
    over_http = tritonclient.http.InferenceServerClient(url.removeprefix("http://"))
    show("tritonclient.http: get_server_metadata", over_http.get_server_metadata())
    show("tritonclient.http: get_model_metadata", over_http.get_model_metadata(MODEL))
    over_grpc = tritonclient.grpc.InferenceServerClient(grpc_address)
    for name, module, client in (
        ("http", tritonclient.http, over_http), ("grpc", tritonclient.grpc, over_grpc),
    ):  # fmt: skip
        clinical = module.InferInput("clinical", [2, 4], "BYTES")
        clinical.set_data_from_numpy(np.array(CLINICAL, object))
        result = client.infer(MODEL, [clinical], request_id="mine")
        assert result.as_numpy("probabilities").shape == (2, 3)
        show(f"tritonclient.{name}: infer", result.get_response())
        client.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
