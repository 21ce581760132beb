"""Samples of a metrics page."""

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

LABELS = {"model": "skin-lesions", "version": "3"}


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the order of their names."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }
