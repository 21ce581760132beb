"""KServe's manifests: the flags that KServe would start the service with."""

from pathlib import Path
from typing import Any

import yaml

KSERVE = Path(__file__).parents[2] / "deploy" / "kserve"
MOUNTED, PORT = "/mnt/models", "--port=8080"


def read_runtime() -> dict[str, Any]:
    """Return the specification of the ClusterServingRuntime."""
    spec: dict[str, Any] = yaml.safe_load((KSERVE / "runtime.yaml").read_text())["spec"]
    return spec


def runtime_flags(name: str) -> list[str]:
    """Return the flags for an InferenceService of this name, without the place of the bundle and the port."""
    [container] = read_runtime()["containers"]
    bundle, *flags = (each.replace("{{.Name}}", name) for each in container["args"])
    assert bundle == MOUNTED
    assert PORT in flags
    return [flag for flag in flags if flag not in (PORT, "--host=0.0.0.0")]
