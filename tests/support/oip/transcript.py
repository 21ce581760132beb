"""A service with the tiny bundle, asked by real clients; prints what they print, and fails with them.

The argument is the Python of the environment that KServe is in.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.bundles import write_tiny_bundle
from tests.support.oip.examples import example
from tests.support.oip.tensors import get_grpc_address
from tests.support.process import start_service

HERE = Path(__file__).parent


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
            return next((code for command in commands if (code := subprocess.call(command))), 0)
        finally:
            service.stop()


if __name__ == "__main__":
    sys.exit(main())
