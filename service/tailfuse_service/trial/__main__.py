"""The child process of a trial: confine itself, open the bundle, run it, and report.

It imports no library before it is confined, because threads that exist by then would not be.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tailfuse_service.trial.confinement import confine, limit_memory
from tailfuse_service.trial.memory import compute_budget
from tailfuse_service.trial.order import Order

STDOUT, STDERR = 1, 2


def main(order: Order) -> None:
    """Carry out the order. The report is three lines on standard output: confinement, memory, result."""
    report = os.dup(STDOUT)
    # What a graph prints is no report, and a library that cannot print all of it would fail: nobody reads it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
    os.set_blocking(STDERR, False)  # nobody reads it before the end: what does not fit is lost
    layers, still_open = confine(order.parent, order.cpu_s)
    write_line(report, layers=layers, still_open=still_open)
    write_line(report, problem=find_problem(order, report))


def find_problem(order: Order, report: int) -> str | None:
    """Open and run the bundle. Return why it cannot be used, or None."""
    from tailfuse_service.bundle import BundleError, hash_manifest, import_runtime, open_bundle

    try:
        import_runtime(order.runtime)
        budget = compute_budget(Path(order.folder))  # the libraries are in memory by now
        write_line(report, memory_bytes=budget)
        limit_memory(budget)
        bundle = open_bundle(Path(order.folder), runtime=order.runtime, threads=order.threads)
    except BundleError as error:
        return error.detail
    except MemoryError:
        return "memory could not be allocated"
    if hash_manifest(bundle.manifest) != order.manifest_sha256:
        return "its manifest was replaced"
    return None


def write_line(file: int, **members: Any) -> None:
    """Write an object as a line of JSON."""
    os.write(file, json.dumps(members).encode() + b"\n")


if __name__ == "__main__":
    main(Order.from_json(sys.argv[1]))
    os._exit(0)  # what libraries do at an exit is not part of a trial
