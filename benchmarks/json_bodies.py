"""CPU time of reading JSON bodies, by step: python benchmarks/json_bodies.py [REPEATS].

The median of REPEATS runs, in milliseconds. `structure` tells how deep a text is nested and how many values
it has, `memory` estimates what its values take, and `read` is what the service does with the body of one
sample before its values are decoded. A photo is also decoded, to 64x64. With another version of the service
first in PYTHONPATH, that one is measured.
"""

import json
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from serving_bench.workloads import make_photo
from tailfuse_service.http.memory import estimate_read_bytes
from tailfuse_service.modalities import ImageModality
from tailfuse_service.modalities.json_structure import measure_structure
from tailfuse_service.modalities.json_text import parse_json

IMAGE = ImageModality(column="image", height=64, width=64, channels=3)


def make_bodies() -> dict[str, bytes]:
    """Make bodies of every shape."""
    random = np.random.default_rng(0)
    row = {f"column-{at}": 1.5 * at for at in range(8)}
    images = [b64encode(random.bytes(2500)).decode() for _ in range(16)]
    documents = {
        "photo": {"inputs": {"image": b64encode(make_photo(random)).decode()}},
        "16 images and columns": {"items": [{"inputs": {"image": each, "columns": row}} for each in images]},
        "1,000 rows of columns": {"items": [{"inputs": {"columns": row}}] * 1000},
        "50,000 steps of a series": {"inputs": {"series": random.normal(size=50_000).round(4).tolist()}},
        "a text full of escapes": {"inputs": {"text": 'a "quoted" \\ word\n' * 5000}},
    }
    return {name: json.dumps(document).encode() for name, document in documents.items()}


def find_reader() -> Callable[[bytes], Any]:
    """Return what reads the body of one sample; versions before November 30, 2026 parse it whole."""
    try:
        from tailfuse_service.http.json_files import parse_sample
    except ImportError:
        return parse_json
    return partial(parse_sample, modalities={"image": IMAGE})


def measure(call: Callable[[], object], repeats: int) -> float:
    """Return the CPU milliseconds of a call."""
    seconds = []
    for _ in range(repeats):
        start = time.thread_time()
        call()
        seconds.append(time.thread_time() - start)
    return round(1000 * statistics.median(seconds), 3)


def main() -> None:
    """Print a line of JSON for each body."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    read = find_reader()
    for name, body in make_bodies().items():
        figures = {
            "structure": measure(partial(measure_structure, body), repeats),
            "memory": measure(partial(estimate_read_bytes, body), repeats),
            "read": measure(partial(read, body), repeats),
        }
        if name == "photo":
            value = read(body)["inputs"]["image"]
            figures["decode"] = measure(partial(IMAGE.features("image").apply, value), repeats)
        print(json.dumps({"body": name, "bytes": len(body), **figures}), flush=True)


if __name__ == "__main__":
    main()
