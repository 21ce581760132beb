"""A server that is checked before it is measured."""

import socket
import threading

import pytest
from serving_bench.load import ServerFailed
from serving_bench.servers import SERVERS, check_answers
from serving_bench.workloads import Workload


def test_a_server_that_closes_the_connection_is_named_and_the_bench_goes_on(
    workloads: dict[str, Workload],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closing = threading.Thread(target=lambda: listener.accept()[0].close())
        closing.start()
        workload = workloads["tabular"]
        with pytest.raises(ServerFailed, match=f"{workload.title}: no answer"):
            check_answers(SERVERS["mosec"], listener.getsockname()[1], workload, [])
        closing.join()
