"""A Ray cluster of two nodes on this machine, and scorings on it. A program for test_score_on_ray.py."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import ray
import tailfuse
from ray.cluster_utils import Cluster
from tailfuse_service.bundle import ServiceError

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}


def main(bundle: Path, inputs: str, folder: Path) -> dict[str, Any]:
    """Score twice on a cluster whose nodes have one core each; then with a runtime that the bundle lacks."""
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    threads = set(threading.enumerate())
    first = tailfuse.score(bundle, inputs, folder / "out", keep="id", on="ray")
    again = tailfuse.score(bundle, inputs, folder / "out", keep="id", on="ray")
    try:
        tailfuse.score(bundle, inputs, folder / "other", runtime="torchscript", on="ray")
        refused = ""
    except ServiceError as error:
        refused = str(error)
    left = list_left(threads)
    ray.shutdown()
    cluster.shutdown()
    told = {"nodes": len(nodes), "first": first.as_json(), "again": again.as_json()}
    return {**told, "refused": refused, "left": left}


def list_left(threads: set[threading.Thread]) -> list[str]:
    """Return the names of the threads that are new and do not end: they could use Ray after its shutdown."""
    left = set(threading.enumerate()) - threads
    for thread in left:
        thread.join(timeout=20)
    return sorted(thread.name for thread in left if thread.is_alive())


if __name__ == "__main__":
    bundle, inputs, folder = sys.argv[1:]
    json.dump(main(Path(bundle), inputs, Path(folder)), sys.stdout)
