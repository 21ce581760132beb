"""Load by NVIDIA's own clients of Triton's protocol; protocols.py starts it.

The arguments are http or grpc, an address, a bundle, a workload, N and seconds. N requests are under way at a
time. The clients need more of a core than the service does: they show what an answer costs the service as
they ask, not how many it can give.
"""

import asyncio
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from tailfuse_service.bundle import Manifest, open_bundle

from serving_bench.protocols import make_tensors
from serving_bench.workloads import Inputs, make_workloads


def make_inputs(client: Any, sample: Inputs, manifest: Manifest) -> list[Any]:
    """Return the inputs of a sample as the client's module takes them."""
    inputs = []
    for name, shape, elements in make_tensors(sample, manifest):
        inputs.append(client.InferInput(name, shape, "BYTES"))
        inputs[-1].set_data_from_numpy(np.array(elements, object).reshape(shape))
    return inputs


async def ask(
    client: Any, address: str, model: str, requests: list[list[Any]], at_once: int, seconds: float
) -> int:
    """Send requests for so many seconds, and return the number of answers."""
    until = time.monotonic() + seconds
    answers = 0

    async def repeat(server: Any, start: int) -> None:
        nonlocal answers
        for inputs in cycle(requests[start:] + requests[:start]):
            if time.monotonic() > until:
                return
            await server.infer(model, inputs)
            answers += 1

    async with client.InferenceServerClient(address) as server:
        await asyncio.gather(*(repeat(server, at % len(requests)) for at in range(at_once)))
    return answers


def main() -> None:
    """Ask, and print the number of answers."""
    protocol, address, folder, workload, at_once, seconds = sys.argv[1:]
    if protocol == "http":
        import tritonclient.http.aio as client
    else:
        import tritonclient.grpc.aio as client
    bundle = open_bundle(Path(folder))
    samples = make_workloads(bundle)[workload].samples
    requests = [make_inputs(client, each, bundle.manifest) for each in samples]
    print(asyncio.run(ask(client, address, bundle.manifest.name, requests, int(at_once), float(seconds))))


if __name__ == "__main__":
    main()
