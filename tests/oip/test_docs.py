"""docs/PROTOCOLS.md: its examples run, and its tables are what the code says."""

import re
import subprocess
import sys

import grpc
import pytest
from tailfuse_service.oip.grpc_server import CODES

from tests.support.oip.examples import PAGE, example
from tests.support.process import Service

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_the_example_of_tritonclient_runs(service: Service, grpc_address: str, transport: str) -> None:
    code = example("tritonclient", service).replace("tritonclient.http", f"tritonclient.{transport}")
    if transport == "grpc":
        code = code.replace(service.url.removeprefix("http://"), grpc_address)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[b'bkl' b'bkl'] [[0.")


@pytest.mark.needs("curl")
def test_the_example_of_curl_runs(service: Service) -> None:
    done = subprocess.run(["sh", "-c", example("curl", service)], capture_output=True, text=True, check=True)
    assert '"outputs":[{"name":"label","datatype":"BYTES","shape":[2]' in done.stdout


def test_the_codes_of_errors_are_in_the_table() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| (`[A-Z_`, ]+`)", PAGE, re.MULTILINE)
    told: dict[int, str] = {}
    for statuses, codes in rows:
        names = re.findall(r"[A-Z_]+", codes)
        numbers = [int(each) for each in re.findall(r"\d+", statuses)]
        told |= dict(zip(numbers, names if len(names) > 1 else names * len(numbers), strict=True))
    assert told == {status: code.name for status, code in CODES.items()} | {
        500: grpc.StatusCode.INTERNAL.name
    }
