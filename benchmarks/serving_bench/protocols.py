"""Measure the cost of an answer by protocol: `python -m serving_bench.protocols BUNDLE [--clients]`.

The cost is CPU microseconds of the service's process per answer, with 64 concurrent requests. The protocols
take turns, so that a busy machine affects all of them alike. The bundle is the one of serving_bench.serve.
The service runs on the lowest core, the load generator on the highest: wrk for HTTP/1.1, h2load (Debian's
nghttp2-client) for gRPC. The service counts the answers. With --clients NVIDIA's clients of Triton's protocol
ask too.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pybase64
from tailfuse_service.bundle import Manifest, open_bundle
from tailfuse_service.modalities import TabularModality
from tailfuse_service.oip.messages import SERVICE, message
from tailfuse_service.oip.tensors import LENGTH

from serving_bench.load import ServerFailed, make_generator_command
from serving_bench.process import read_cpu_s
from serving_bench.servers import wait_until_ready
from serving_bench.workloads import IMAGE, Inputs, make_request, make_workloads

CONCURRENCY, SECONDS, ROUNDS = 64, 4, 5
COUNT = re.compile(r'tailfuse_requests_total\{route="([^"]+)",status="(\d+)"\} (\S+)')
ROUTES = ("/predict", "/v2/models/{name}/infer", "grpc/ModelInfer")
WORKLOADS = ("tabular", "image+tabular")


def make_tensors(sample: Inputs, manifest: Manifest) -> list[tuple[str, list[int], list[bytes]]]:
    """Return name, shape and elements of each input; all are BYTES."""
    tensors: list[tuple[str, list[int], list[bytes]]] = []
    for name, raw in sample.items():
        modality = manifest.modalities[name]
        if isinstance(modality, TabularModality):
            cells = [raw[column.name] for column in modality.columns]
            texts = [b"" if cell is None else str(cell).encode() for cell in cells]
            tensors.append((name, [1, len(texts)], texts))
        else:
            tensors.append((name, [1], [raw]))
    return tensors


def encode_elements(elements: Sequence[bytes]) -> bytes:
    """Encode the elements of a BYTES tensor, each after its length."""
    return b"".join(LENGTH.pack(len(each)) + each for each in elements)


def make_v2_json(sample: Inputs, manifest: Manifest) -> tuple[bytes, str]:
    """Return the body with images in base64, and no extra header."""
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": shape,
         "data": [pybase64.b64encode(each).decode() if name == IMAGE else each.decode() for each in elements]}
        for name, shape, elements in make_tensors(sample, manifest)
    ]  # fmt: skip
    return orjson.dumps({"inputs": inputs}), ""


def make_v2_binary(sample: Inputs, manifest: Manifest) -> tuple[bytes, str]:
    """Return the body, tensors after the JSON, and the header with the length of the JSON."""
    tensors = make_tensors(sample, manifest)
    parts = [encode_elements(elements) for *_, elements in tensors]
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": len(part)}}
        for (name, shape, _), part in zip(tensors, parts, strict=True)
    ]
    head = orjson.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return b"".join((head, *parts)), f"Inference-Header-Content-Length: {len(head)}\r\n"


def make_predict_json(sample: Inputs, _: Manifest) -> tuple[bytes, str]:
    """Return the body of POST /predict."""
    return make_request("one", [sample], listed=False).body, ""


def make_grpc_message(sample: Inputs, manifest: Manifest) -> bytes:
    """Return the message with tensors as raw bytes."""
    tensors = make_tensors(sample, manifest)
    request = message("ModelInferRequest")(
        model_name=manifest.name,
        inputs=[{"name": name, "datatype": "BYTES", "shape": shape} for name, shape, _ in tensors],
        raw_input_contents=[encode_elements(elements) for *_, elements in tensors],
    )
    body: bytes = request.SerializeToString()
    return body


def write_http_file(path: Path, target: str, bodies: Sequence[tuple[bytes, str]]) -> Path:
    """Write complete HTTP requests for the load generator."""
    with path.open("wb") as file:
        for body, line in bodies:
            head = (
                f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{line}"
                f"Content-Length: {len(body)}\r\n\r\n"
            ).encode()
            file.write(b"%d\n" % (len(head) + len(body)) + head + body)
    return path


def write_grpc_file(path: Path, call: bytes) -> Path:
    """Write the body of a call: uncompressed, its length, and the message."""
    path.write_bytes(b"\0" + len(call).to_bytes(4, "big") + call)
    return path


def measure_cost(service: subprocess.Popen[bytes], port: int, command: Sequence[str]) -> float:
    """Measure CPU microseconds per answer in the middle of a load. Raises ServerFailed."""
    core = max(os.sched_getaffinity(0))
    generator = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    before = predict_samples(port)
    while predict_samples(port) == before:  # clients of Python take a moment to start
        if generator.poll() is not None:
            raise ServerFailed(f"no answer was asked for: {' '.join(map(str, command))}")
        time.sleep(0.05)
    time.sleep(SECONDS / 5)
    answers, cpu = predict_samples(port), read_cpu_s(service.pid)
    time.sleep(SECONDS * 3 / 5)
    answers, cpu = predict_samples(port) - answers, read_cpu_s(service.pid) - cpu
    generator.wait()
    return cpu / answers * 1e6


def predict_samples(port: int) -> float:
    """Count the service's predictions. Raises ServerFailed if it refused any."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    counts = [(status, float(count)) for route, status, count in COUNT.findall(text) if route in ROUTES]
    if any(status not in ("200", "499") for status, _ in counts):
        raise ServerFailed(f"some requests failed: {counts}")
    return sum(count for status, count in counts if status == "200")


def make_commands(
    folder: Path, bundle_path: Path, port: int, grpc_port: int, *, by_clients: bool
) -> dict[tuple[str, str], list[str]]:
    """Return the load generator's command by workload and protocol."""
    bundle = open_bundle(bundle_path)
    manifest, workloads = bundle.manifest, make_workloads(bundle)
    infer = f"/v2/models/{manifest.name}/infer"
    rest: dict[str, tuple[str, Callable[[Inputs, Manifest], tuple[bytes, str]]]] = {
        "/predict": ("/predict", make_predict_json),
        "/v2 JSON": (infer, make_v2_json),
        "/v2 binary": (infer, make_v2_binary),
    }
    commands = {}
    for workload in WORKLOADS:
        samples = workloads[workload].samples
        for number, (protocol, (target, make_body)) in enumerate(rest.items()):
            path = folder / f"{workload}-{number}"
            write_http_file(path, target, [make_body(each, manifest) for each in samples])
            commands[workload, protocol] = make_generator_command(port, path, CONCURRENCY, SECONDS)
        path = write_grpc_file(folder / f"{workload}-grpc", make_grpc_message(samples[0], manifest))
        commands[workload, "gRPC"] = [
            "h2load", "-c", "8", "-m", str(CONCURRENCY // 8), "-D", str(SECONDS), "-d", str(path),
            "-H", "content-type: application/grpc", "-H", "te: trailers",
            f"http://127.0.0.1:{grpc_port}/{SERVICE}/ModelInfer",
        ]  # fmt: skip
        if by_clients:
            for protocol, its_port in (("http", port), ("grpc", grpc_port)):
                commands[workload, f"tritonclient.{protocol}"] = [
                    sys.executable, "-m", "serving_bench.triton_clients", protocol, f"127.0.0.1:{its_port}",
                    str(bundle_path), workload, str(CONCURRENCY), str(SECONDS),
                ]  # fmt: skip
    return commands


def main() -> None:
    """Measure every protocol, and print a table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("bundle", type=Path)
    options.add_argument("--clients", action="store_true", help="measure NVIDIA's clients too")
    given = options.parse_args()
    bundle, port, grpc_port = given.bundle, 8741, 8742
    with tempfile.TemporaryDirectory() as folder:
        commands = make_commands(Path(folder), bundle, port, grpc_port, by_clients=given.clients)
        service = subprocess.Popen(
            [
                sys.executable, "-m", "tailfuse_service", bundle,
                "--port", str(port), "--grpc-port", str(grpc_port),
            ],
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        )  # fmt: skip
        try:
            wait_until_ready(service, port)
            found: dict[tuple[str, str], list[float]] = {key: [] for key in commands}
            for _ in range(ROUNDS):
                for key, command in commands.items():
                    found[key].append(measure_cost(service, port, command))
        finally:
            service.terminate()
            service.wait()
    print(
        f"| CPU us per answer, {CONCURRENCY} at a time, median of {ROUNDS} | " + " | ".join(WORKLOADS) + " |"
    )
    print("|---|" + "---:|" * len(WORKLOADS))
    for protocol in dict.fromkeys(protocol for _, protocol in commands):
        cells = [statistics.median(found[workload, protocol]) for workload in WORKLOADS]
        print(f"| {protocol} | " + " | ".join(f"{cell:.0f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
