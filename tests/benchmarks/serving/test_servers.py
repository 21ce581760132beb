"""A server that is checked before it is measured."""

import socket
import subprocess
import sys
import threading

import pytest
from serving_bench.load import ServerFailed
from serving_bench.servers import SERVERS, check_answers, find_free_port, wait_until_ready
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


READY_LATER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        self.send_response(503 if Handler.asked == 1 else 200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_service_is_waited_for_until_it_is_ready() -> None:
    port = find_free_port()
    with subprocess.Popen([sys.executable, "-c", READY_LATER, str(port)], stderr=subprocess.PIPE) as service:
        wait_until_ready(service, port)
        service.terminate()
        assert service.stderr is not None
        assert service.stderr.read().count(b"GET /readyz") == 2


def test_a_service_that_ends_is_not_waited_for() -> None:
    with (
        subprocess.Popen([sys.executable, "-c", ""]) as service,
        pytest.raises(ServerFailed, match="it ended"),
    ):
        wait_until_ready(service, find_free_port())
