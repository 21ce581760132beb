"""Services with the tiny bundle, asked by real clients; prints what they print, and fails with them.

The argument is the Python of the environment that KServe is in.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.bundles import write_tiny_bundle
from tests.support.kserve import KSERVE, runtime_flags
from tests.support.oip.examples import example
from tests.support.oip.tensors import get_grpc_address
from tests.support.process import start_service

HERE = Path(__file__).parent
NAME = "lesions-of-march"  # not that of the manifest


def main() -> int:
    """0, or the exit code of those that failed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = write_tiny_bundle(folder / "bundle")
        service = start_service(bundle, "--grpc-port", "0", log=folder / "service.log")
        try:
            where = service.url, get_grpc_address(service)
            commands = (
                [sys.argv[1], str(HERE / "kserve_clients.py"), *where],
                [sys.argv[1], "-c", example("from kserve", service)],
                [sys.executable, str(HERE / "triton_clients.py"), *where],
            )
            code = next((code for command in commands if (code := subprocess.call(command))), 0)
        finally:
            service.stop()
        return code or check_runtime(sys.argv[1], bundle, folder / "runtime.log")


def check_runtime(python: str, bundle: Path, log: Path) -> int:
    """Start a service as deploy/kserve says, under a name of its own, and ask it with KServe's client."""
    service = start_service(bundle, *runtime_flags(NAME), log=log)
    try:
        files = [str(file) for file in sorted(KSERVE.glob("*.yaml"))]
        return subprocess.call([python, str(HERE / "kserve_runtime.py"), service.url, NAME, *files])
    finally:
        service.stop()


if __name__ == "__main__":
    sys.exit(main())
