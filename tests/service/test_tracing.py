"""A request's place in its caller's trace: in the logs, and as a span."""

import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient
from tailfuse_service.app import create_app
from tailfuse_service.http.tracing import Tracing, parse_trace_id
from tailfuse_service.settings.settings import EXPORTER, Settings

from tests.support.clients import ClientOf
from tests.support.known import known

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize("given", [TRACEPARENT, f"cc-{TRACE}-{PARENT}-01-what-a-later-version-adds"])
def test_a_sane_header_names_its_trace(given: str) -> None:
    assert parse_trace_id(given) == TRACE


@pytest.mark.parametrize(
    "given",
    [
        None, "", "00", f"ff-{TRACE}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01",
        TRACEPARENT.upper(), f"{TRACEPARENT}\n", f"00-{TRACE}-{PARENT}",
    ],
)  # fmt: skip
def test_any_other_header_is_as_none(given: str | None) -> None:
    assert parse_trace_id(given) is None


def test_a_problems_line_has_the_callers_trace(
    make_client: ClientOf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tailfuse")
    client = make_client(None)
    client.post("/predict", json={}, headers={"traceparent": TRACEPARENT, "X-Request-Id": "mine"})
    client.post("/predict", json={}, headers={"traceparent": "nonsense"})
    first, second = (record for record in caplog.records if record.name == "tailfuse")
    assert (first.trace_id, first.request_id) == (TRACE, "mine")  # type: ignore[attr-defined]
    assert not hasattr(second, "trace_id")


def test_every_request_is_a_line_if_wanted(make_client: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tailfuse")
    make_client(None).get("/healthz")
    assert caplog.records == []
    make_client(None, log_requests=True).get("/healthz", headers={"traceparent": TRACEPARENT})
    (line,) = caplog.records
    assert line.message == "Request"
    assert (line.path, line.status, line.trace_id) == ("/healthz", 200, TRACE)  # type: ignore[attr-defined]
    assert line.seconds >= 0  # type: ignore[attr-defined]


def test_a_span_is_the_callers_child() -> None:
    pytest.importorskip(EXPORTER)
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    tracing = Tracing(SimpleSpanProcessor(spans))
    headers = [(b"traceparent", TRACEPARENT.encode()), (b"tracestate", b"vendor=1")]
    scope = {"method": "POST", "path": "/predict", "headers": headers, "request_id": "mine"}
    tracing.record(scope, "/predict", 500, 0.25)
    tracing.record({**scope, "path": "/x" * 9, "headers": []}, "other", 404, 0.0)
    child, orphan = spans.get_finished_spans()
    assert child.name == "POST /predict"
    assert f"{child.context.trace_id:032x}" == TRACE
    assert child.parent is not None
    assert f"{child.parent.span_id:016x}" == PARENT
    assert child.context.trace_state.get("vendor") == "1"
    assert known(child.end_time) - known(child.start_time) == 250_000_000
    assert not child.status.is_ok
    assert known(child.attributes)["http.response.status_code"] == 500
    assert known(child.attributes)["tailfuse.request_id"] == "mine"
    assert child.resource.attributes["service.name"] == "tailfuse"
    assert orphan.parent is None
    assert orphan.name == "POST other", "a scanner must not make a name for each path"
    tracing.close()


def test_spans_go_out_over_http(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(EXPORTER)
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    names: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            names.extend(
                span.name
                for resource in sent.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        with TestClient(create_app(Settings(bundle=tiny_bundle, tracing=True))) as client:
            client.get("/readyz", headers={"traceparent": TRACEPARENT})
        server.shutdown()  # by now stopping has sent what was left
        thread.join()
    assert names == ["GET /readyz"]


def test_tracing_without_opentelemetry_says_what_to_install(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailfuse_service.settings.settings.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match=r"pip install '\.\[otel\]' in a checkout"):
        Settings(bundle=tiny_bundle, tracing=True)
