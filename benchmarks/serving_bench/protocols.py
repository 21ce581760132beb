"""What an answer costs the service by each protocol: `python -m serving_bench.protocols BUNDLE`.

Measure CPU microseconds of the service's process per answer with 64 concurrent requests. The protocols take
turns, so that a busy machine affects all of them alike. The bundle is the one of serving_bench.serve. The
service runs on the first core, the load generator on the last: wrk for HTTP/1.1, h2load (Debian's
nghttp2-client) for gRPC. The service counts the answers.
"""

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

from serving_bench.load import ServerFailed, generator_command
from serving_bench.process import cpu_s
from serving_bench.workloads import IMAGE, Inputs, request_of, workloads_of

AT_ONCE, SECONDS, ROUNDS = 64, 4, 5
COUNT = re.compile(r'tailfuse_requests_total\{route="([^"]+)",status="(\d+)"\} (\S+)')
ASKED = ("/predict", "/v2/models/{name}/infer", "grpc/ModelInfer")
WORKLOADS = ("tabular", "image+tabular")


def tensors_of(sample: Inputs, manifest: Manifest) -> list[tuple[str, list[int], list[bytes]]]:
    """Name, shape and elements of each input; all are BYTES."""
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


def binary(elements: Sequence[bytes]) -> bytes:
    """Elements of a BYTES tensor, each behind its length."""
    return b"".join(LENGTH.pack(len(each)) + each for each in elements)


def v2_json(sample: Inputs, manifest: Manifest) -> tuple[bytes, str]:
    """The body, with pictures in base64, and no headers of its own."""
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": shape,
         "data": [pybase64.b64encode(each).decode() if name == IMAGE else each.decode() for each in elements]}
        for name, shape, elements in tensors_of(sample, manifest)
    ]  # fmt: skip
    return orjson.dumps({"inputs": inputs}), ""


def v2_binary(sample: Inputs, manifest: Manifest) -> tuple[bytes, str]:
    """The body, its tensors behind the JSON, and the header that says where they begin."""
    tensors = tensors_of(sample, manifest)
    parts = [binary(elements) for *_, elements in tensors]
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": len(part)}}
        for (name, shape, _), part in zip(tensors, parts, strict=True)
    ]
    head = orjson.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return b"".join((head, *parts)), f"Inference-Header-Content-Length: {len(head)}\r\n"


def predict_json(sample: Inputs, _: Manifest) -> tuple[bytes, str]:
    """The body of POST /predict."""
    return request_of("one", [sample], listed=False).body, ""


def grpc_raw(sample: Inputs, manifest: Manifest) -> bytes:
    """The message, its tensors as raw bytes."""
    tensors = tensors_of(sample, manifest)
    request = message("ModelInferRequest")(
        model_name=manifest.name,
        inputs=[{"name": name, "datatype": "BYTES", "shape": shape} for name, shape, _ in tensors],
        raw_input_contents=[binary(elements) for *_, elements in tensors],
    )
    body: bytes = request.SerializeToString()
    return body


def http_file(path: Path, target: str, bodies: Sequence[tuple[bytes, str]]) -> Path:
    """Whole HTTP requests, for the generator."""
    with path.open("wb") as file:
        for body, line in bodies:
            head = (
                f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{line}"
                f"Content-Length: {len(body)}\r\n\r\n"
            ).encode()
            file.write(b"%d\n" % (len(head) + len(body)) + head + body)
    return path


def grpc_file(path: Path, call: bytes) -> Path:
    """The body of a call: not compressed, its length, and the message."""
    path.write_bytes(b"\0" + len(call).to_bytes(4, "big") + call)
    return path


def cost_of(service: subprocess.Popen[bytes], port: int, command: Sequence[str]) -> float:
    """CPU microseconds per answer, in the middle of a load. Raises ServerFailed."""
    core = max(os.sched_getaffinity(0))
    generator = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {core})
    )
    time.sleep(SECONDS / 5)
    answers, cpu = answers_of(port), cpu_s(service.pid)
    time.sleep(SECONDS * 3 / 5)
    answers, cpu = answers_of(port) - answers, cpu_s(service.pid) - cpu
    generator.wait()
    return cpu / answers * 1e6


def answers_of(port: int) -> float:
    """Predictions that the service has given. Raises ServerFailed if it has refused any."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    counts = [(status, float(count)) for route, status, count in COUNT.findall(text) if route in ASKED]
    if any(status not in ("200", "499") for status, _ in counts):
        raise ServerFailed(f"not all were answered: {counts}")
    return sum(count for status, count in counts if status == "200")


def commands_of(
    folder: Path, bundle_path: Path, port: int, grpc_port: int
) -> dict[tuple[str, str], list[str]]:
    """What puts load on the service, by workload and protocol."""
    bundle = open_bundle(bundle_path)
    manifest, workloads = bundle.manifest, workloads_of(bundle)
    infer = f"/v2/models/{manifest.name}/infer"
    rest: dict[str, tuple[str, Callable[[Inputs, Manifest], tuple[bytes, str]]]] = {
        "/predict": ("/predict", predict_json),
        "/v2 JSON": (infer, v2_json),
        "/v2 binary": (infer, v2_binary),
    }
    commands = {}
    for workload in WORKLOADS:
        samples = workloads[workload].samples
        for number, (protocol, (target, body_of)) in enumerate(rest.items()):
            path = folder / f"{workload}-{number}"
            http_file(path, target, [body_of(each, manifest) for each in samples])
            commands[workload, protocol] = generator_command(port, path, AT_ONCE, SECONDS)
        path = grpc_file(folder / f"{workload}-grpc", grpc_raw(samples[0], manifest))
        commands[workload, "gRPC"] = [
            "h2load", "-c", "8", "-m", str(AT_ONCE // 8), "-D", str(SECONDS), "-d", str(path),
            "-H", "content-type: application/grpc", "-H", "te: trailers",
            f"http://127.0.0.1:{grpc_port}/{SERVICE}/ModelInfer",
        ]  # fmt: skip
    return commands


def main() -> None:
    """Print the table."""
    bundle, port, grpc_port = Path(sys.argv[1]), 8741, 8742
    with tempfile.TemporaryDirectory() as folder:
        commands = commands_of(Path(folder), bundle, port, grpc_port)
        service = subprocess.Popen(
            [
                sys.executable, "-m", "tailfuse_service", bundle,
                "--port", str(port), "--grpc-port", str(grpc_port),
            ],
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        )  # fmt: skip
        try:
            time.sleep(8)
            found: dict[tuple[str, str], list[float]] = {key: [] for key in commands}
            for _ in range(ROUNDS):
                for key, command in commands.items():
                    found[key].append(cost_of(service, port, command))
        finally:
            service.terminate()
            service.wait()
    print(f"| CPU us per answer, {AT_ONCE} at a time, median of {ROUNDS} | " + " | ".join(WORKLOADS) + " |")
    print("|---|" + "---:|" * len(WORKLOADS))
    for protocol in dict.fromkeys(protocol for _, protocol in commands):
        cells = [statistics.median(found[workload, protocol]) for workload in WORKLOADS]
        print(f"| {protocol} | " + " | ".join(f"{cell:.0f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
