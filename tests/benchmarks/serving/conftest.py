"""The workloads of the bench, around the tiny bundle."""

import pytest
from serving_bench.workloads import Workload, make_workloads
from tailfuse_service.bundle import Bundle


@pytest.fixture(scope="session")
def workloads(bundle: Bundle) -> dict[str, Workload]:
    return make_workloads(bundle)
