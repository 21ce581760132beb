"""Tracing: W3C trace context, and optional OpenTelemetry spans.

With the extra `otel` and the setting `tracing`, every request becomes a span, a child of the client's span.
Spans are exported by OTLP over HTTP, as OpenTelemetry's variables say: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_SERVICE_NAME, …
"""

import re
import time
from typing import TYPE_CHECKING

from tailfuse_service.errors import clipped
from tailfuse_service.http.asgi import Scope, header

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def parse_trace_id(traceparent: str | None) -> str | None:
    """Return the trace id of a valid header (W3C Trace Context, 3.2), else None."""
    found = None if traceparent is None else TRACEPARENT.fullmatch(traceparent)
    return found and found[1]


class Tracing:
    """Records a span for each request."""

    def __init__(self, processor: "SpanProcessor | None" = None) -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource({"service.name": "tailfuse"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(processor or make_exporter())
        self._tracer = self._provider.get_tracer("tailfuse")
        self._propagator = TraceContextTextMapPropagator()

    def record(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        """Record a span that ends now; a thread exports it later."""
        from opentelemetry.trace import SpanKind, StatusCode

        ended_ns = time.time_ns()
        carrier = {name: header(scope, name.encode()) or "" for name in ("traceparent", "tracestate")}
        span = self._tracer.start_span(
            f"{scope['method']} {route}",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=ended_ns - int(seconds * 1e9),
            attributes={
                "http.request.method": scope["method"],
                "url.path": clipped(scope["path"]),
                "http.response.status_code": status,
                "tailfuse.request_id": scope["request_id"],
            },
        )
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(ended_ns)

    def close(self) -> None:
        """Export the remaining spans."""
        self._provider.shutdown()


def make_exporter() -> "SpanProcessor":
    """Return a processor that exports spans in batches by OTLP."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter())
