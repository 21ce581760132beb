"""The service's metrics, and their exposition to Prometheus."""

from tailfuse_service.metrics.counters import SharedCounters, make_file
from tailfuse_service.metrics.metrics import PUBLISH_S, Metrics
from tailfuse_service.metrics.model_metrics import ModelMetrics
from tailfuse_service.metrics.process import ProcessFigures, reset_gauges

__all__ = [
    "PUBLISH_S",
    "Metrics",
    "ModelMetrics",
    "ProcessFigures",
    "SharedCounters",
    "make_file",
    "reset_gauges",
]  # fmt: skip
