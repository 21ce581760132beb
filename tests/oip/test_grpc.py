"""gRPC without a client of the protocol: its messages, its errors, its port."""

import gzip
import json
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from grpc_tools import protoc
from tailfuse_service.bundle import Bundle
from tailfuse_service.oip.messages import COMPILED, SERVICE, message

from tests.support.oip.tensors import (
    CLINICAL,
    INFER,
    INPUTS,
    MODEL,
    NOTES,
    get_answers,
    get_grpc_address,
    packed,
)
from tests.support.process import Service, ran, start_service, until

pytestmark = pytest.mark.e2e

BYTES = [each.encode() for each in CLINICAL]
Start = Callable[..., Service]


def make_request(**more: Any) -> Any:
    inputs = [
        {"name": "clinical", "datatype": "BYTES", "shape": [2, 4], "contents": {"bytes_contents": BYTES}},
        {"name": "notes", "datatype": "BYTES", "shape": [2],
         "contents": {"bytes_contents": [each.encode() for each in NOTES]}},
    ]  # fmt: skip
    return message("ModelInferRequest")(**{"model_name": MODEL, "inputs": inputs, **more})


def call(address: str, method: str, request: Any, **more: Any) -> Any:
    body = request if isinstance(request, bytes) else request.SerializeToString()
    with grpc.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        answer = channel.unary_unary(f"/{SERVICE}/{method}")(body, timeout=60, **more)
    return message(f"{method}Response").FromString(answer)


def problem(
    address: str, request: Any, method: str = "ModelInfer", **more: Any
) -> tuple[grpc.StatusCode, Any]:
    """How a call fails: its code and the problem details beside it."""
    with pytest.raises(grpc.RpcError) as caught:
        call(address, method, request, **more)
    trailing = dict(caught.value.trailing_metadata() or ())
    return caught.value.code(), json.loads(trailing.get("problem-bin", "null"))


@pytest.fixture
def start(tiny_bundle: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts a service of the test's own."""
    started: list[Service] = []

    def begin(*flags: str) -> Service:
        log = tmp_path / f"service-{len(started)}.log"
        started.append(start_service(tiny_bundle, "--grpc-port", "0", *flags, log=log))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            assert each.stop() == 0


def test_the_compiled_protocol_is_current(tmp_path: Path) -> None:
    made = tmp_path / "made.binpb"
    source = COMPILED.with_suffix(".proto")
    own = files("grpc_tools") / "_proto"
    assert (
        protoc.main(["", f"-I{source.parent}", f"-I{own}", f"--descriptor_set_out={made}", source.name]) == 0
    )
    assert made.read_bytes() == COMPILED.read_bytes(), "it is stale; make it anew with: make proto"


def test_typed_contents_are_answered_with_typed_contents(grpc_address: str, bundle: Bundle) -> None:
    answer = call(
        grpc_address, "ModelInfer", make_request(outputs=[{"name": "label"}, {"name": "probabilities"}])
    )
    label, probabilities = answer.outputs
    expected = get_answers(bundle).probabilities
    found = np.array(probabilities.contents.fp32_contents).reshape(probabilities.shape)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    names = [bundle.manifest.class_names[at].encode() for at in expected.argmax(1)]
    assert list(label.contents.bytes_contents) == names
    assert not answer.raw_output_contents


@pytest.mark.parametrize(("datatype", "contents"), [
    ("FP32", {"fp32_contents": [61]}), ("FP64", {"fp64_contents": [61]}), ("INT8", {"int_contents": [61]}),
    ("INT64", {"int64_contents": [61]}), ("UINT16", {"uint_contents": [61]}),
    ("UINT64", {"uint64_contents": [61]}), ("BYTES", {"bytes_contents": [b"61"]}),
])  # fmt: skip
def test_every_kind_of_contents_is_read(
    grpc_address: str, datatype: str, contents: Any, bundle: Bundle
) -> None:
    age = {"name": "clinical.age", "datatype": datatype, "shape": [1], "contents": contents}
    answer = call(grpc_address, "ModelInfer", make_request(inputs=[age], outputs=[{"name": "probabilities"}]))
    expected = bundle.run([bundle.sample({"clinical": {"age": 61}})]).probabilities
    np.testing.assert_allclose(answer.outputs[0].contents.fp32_contents, expected[0], atol=2e-6)


def test_a_models_metadata_has_its_classes(grpc_address: str) -> None:
    metadata = call(grpc_address, "ModelMetadata", message("ModelMetadataRequest")(name=MODEL))
    assert json.loads(metadata.properties["classes"]) == ["nv", "mel", "bkl"]
    assert json.loads(metadata.properties["clinical.columns"]) == ["age", "pulse", "smoker", "site"]


RAW = {"name": "clinical", "datatype": "BYTES", "shape": [2, 4]}
WRONG = {
    "no message": b"\xff\xff\xff",
    "no model": make_request(model_name=""),
    "no inputs": make_request(inputs=[]),
    "raw contents for some": make_request(inputs=[RAW, RAW], raw_input_contents=[packed(BYTES)]),
    "raw and typed contents": make_request(raw_input_contents=[packed(BYTES), packed([b"", b""])]),
    "raw contents cut short": make_request(inputs=[RAW], raw_input_contents=[packed(BYTES)[:-1]]),
    "a negative dimension": make_request(inputs=[{**RAW, "shape": [-2, 4]}]),
    "a huge dimension": make_request(inputs=[{**RAW, "shape": [2**62, 4]}]),
    "too few contents": make_request(inputs=[{**RAW, "contents": {"bytes_contents": BYTES[1:]}}]),
    "contents of another type": make_request(inputs=[{**RAW, "contents": {"fp32_contents": [1] * 8}}]),
    "a number beyond its datatype": make_request(
        inputs=[{**RAW, "datatype": "INT8", "contents": {"int_contents": [1000] * 8}}]
    ),
    "FP16 as contents": make_request(inputs=[{**RAW, "datatype": "FP16"}]),
    "bad UTF-8": make_request(inputs=[{**RAW, "contents": {"bytes_contents": [b"\xff"] * 8}}]),
    "shared memory": make_request(
        inputs=[{**RAW, "parameters": {"shared_memory_region": {"string_param": "a"}}}]
    ),
    "an unknown output": make_request(outputs=[{"name": "logits"}]),
}


@pytest.mark.parametrize("request_", WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_the_callers_fault_and_is_told(grpc_address: str, request_: Any) -> None:
    code, told = problem(grpc_address, request_)
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    assert told["error"] == told["detail"]


def test_a_wrong_row_is_named(grpc_address: str) -> None:
    cells = [*BYTES[:5], b"many", b"", b""]
    code, told = problem(grpc_address, make_request(inputs=[{**RAW, "contents": {"bytes_contents": cells}}]))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert (told["row"], told["modality"], told["column"]) == (1, "clinical", "pulse")


def test_keys_and_limits_are_those_of_rest_and_calls_are_counted(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a: 0123456789abcdef")
    service = start("--api-keys", str(keys), "--max-items", "2", "--max-body-bytes", "100000")
    address = get_grpc_address(service)
    assert call(address, "ServerReady", message("ServerReadyRequest")()).ready
    assert problem(address, make_request())[0] == grpc.StatusCode.UNAUTHENTICATED
    for name, value in (("authorization", "Bearer 0123456789abcdef"), ("x-api-key", "0123456789abcdef")):
        assert call(address, "ModelInfer", make_request(), metadata=[(name, value)]).outputs
    many = {"name": "notes", "datatype": "BYTES", "shape": [3], "contents": {"bytes_contents": [b"a"] * 3}}
    key = [("x-api-key", "0123456789abcdef")]
    code, told = problem(address, make_request(inputs=[many]), metadata=key)
    assert (code, told["type"][-15:]) == (grpc.StatusCode.INVALID_ARGUMENT, "batch-too-large")
    assert len(gzip.compress(bytes(50_000_000))) < 100_000
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):  # the second one is a bomb
        code, _ = problem(address, bytes(50_000_000), metadata=key, compression=compression)
        assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    text = httpx2.get(f"{service.url}/metrics", trust_env=False).text
    for status, count in (("200", 2), ("401", 1), ("422", 1)):
        assert f'tailfuse_requests_total{{route="grpc/ModelInfer",status="{status}"}} {count}.0' in text


def test_a_stop_answers_what_has_been_asked(start: Start) -> None:
    """SIGTERM while many calls are on their way: what has begun is answered; the rest is told that it is not.

    CANCELLED are those that grpcio had taken from the wire and not yet handed over.
    """
    service = start("--log-requests")
    codes: list[grpc.StatusCode] = []
    stopped = threading.Event()

    def ask() -> None:
        with grpc.insecure_channel(get_grpc_address(service)) as channel:
            infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
            body = make_request().SerializeToString()
            while not stopped.is_set():
                try:
                    infer(body, timeout=60)
                    codes.append(grpc.StatusCode.OK)
                except grpc.RpcError as error:
                    codes.append(error.code())
                    return

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(codes) > 50, "calls are answered")
    assert service.stop() == 0
    stopped.set()
    for thread in threads:
        thread.join()
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    begun = [line["status"] for line in service.log_lines() if line["message"] == "Request"]
    assert begun == [200] * codes.count(grpc.StatusCode.OK)


def test_workers_share_the_port(start: Start) -> None:
    service = start("--workers", "2")
    addresses = {line["address"] for line in service.log_lines() if line["message"] == "gRPC started"}
    assert len(addresses) == 1
    answer = httpx2.post(f"{service.url}{INFER}", json={"inputs": INPUTS}, trust_env=False)
    assert answer.status_code == 200
    assert call(addresses.pop(), "ModelInfer", make_request()).outputs


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_one_sentence(tiny_bundle: Path, grpc_address: str, workers: str) -> None:
    port = grpc_address.rpartition(":")[2]
    service = (
        "-m",
        "tailfuse_service",
        str(tiny_bundle),
        "--port",
        "0",
        "--grpc-port",
        port,
        "--workers",
        workers,
    )
    done = ran(sys.executable, *service)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"tailfuse: cannot listen on 127.0.0.1:{port}" in done.stderr


def test_grpcio_is_imported_for_its_port_alone() -> None:
    program = (
        "import sys, tailfuse_service.process.server; print({'grpc', 'google.protobuf'} & set(sys.modules))"
    )
    assert ran(sys.executable, "-c", program).stdout.strip() == "set()"


def test_the_key_is_checked_before_the_message_has_come(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a-client-of-the-test: 0123456789abcdef-key\n")
    address = get_grpc_address(start("--api-keys", str(keys)))
    assert half_call(address).code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_message_that_never_arrives_ends_after_the_receive_timeout(start: Start) -> None:
    address = get_grpc_address(start("--receive-timeout-s", "1"))
    error = half_call(address)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert json.loads(dict(error.trailing_metadata())["problem-bin"])["type"].endswith(":receive-timeout")


def half_call(address: str) -> Any:
    """The error of a call whose message is never sent."""
    ended = threading.Event()

    def send() -> Iterator[bytes]:
        ended.wait(120)
        yield from ()

    with grpc.insecure_channel(address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(f"/{SERVICE}/ModelInfer")(send(), timeout=60)
        ended.set()
    return caught.value
