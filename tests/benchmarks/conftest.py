"""The workloads of the bench, around the tiny bundle."""

import pytest
from tailfuse_service.bundle import Bundle

from benchmarks.workloads import Workload, workloads_of


@pytest.fixture(scope="session")
def workloads(bundle: Bundle) -> dict[str, Workload]:
    return workloads_of(bundle)
