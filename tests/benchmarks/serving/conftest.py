"""The workloads of the bench, around the tiny bundle."""

import pytest
from serving_bench.workloads import Workload, workloads_of
from tailfuse_service.bundle import Bundle


@pytest.fixture(scope="session")
def workloads(bundle: Bundle) -> dict[str, Workload]:
    return workloads_of(bundle)
