"""Every metric that alerts, recorded series and autoscalers ask for is one that the service exports."""

import re
from pathlib import Path

import pytest
from tailfuse_service.metrics.families import FAMILIES

ROOT = Path(__file__).parents[2]
FILES = [
    ROOT / "monitoring" / "prometheus" / "alerts.yml",
    ROOT / "monitoring" / "prometheus" / "recording.yml",
    ROOT / "deploy" / "helm" / "tailfuse" / "templates" / "autoscaling.yaml",
]
METRIC = re.compile(r"(?<![\w:])tailfuse_\w+(?![\w:])")  # not level:metric:operation, which is recorded
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
EXPORTED = {
    f"tailfuse_{name}{suffix}" for name, family in FAMILIES.items() for suffix in SUFFIXES[family.kind]
}


def metrics_in(text: str) -> set[str]:
    without_comments = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    return set(METRIC.findall(without_comments))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_metric_that_is_named_is_exported(file: Path) -> None:
    named = metrics_in(file.read_text())
    assert named
    assert named - EXPORTED == set()


def test_a_misspelt_metric_is_found() -> None:
    rule = "sum(tailfuse_request_in_flight) / job:tailfuse_rejected:increase5m + tailfuse_requests"
    assert metrics_in(rule) - EXPORTED == {"tailfuse_request_in_flight", "tailfuse_requests"}
