"""Prometheus, the service and its callers, as the other tests of this room use them."""

from collections.abc import Callable

import pytest

from tests.support.monitoring.prometheus import InvalidQuery, Prometheus
from tests.support.monitoring.traffic import Traffic, truncate_images
from tests.support.process import Service, until

pytestmark = [pytest.mark.e2e, pytest.mark.needs("prometheus"), pytest.mark.slow]


def test_prometheus_scrapes_what_callers_cause(
    start: Callable[..., Service], scrape: Callable[..., Prometheus], traffic: Callable[..., Traffic]
) -> None:
    service = start()
    prometheus = scrape(service.url)
    with traffic(service, per_second=200) as callers:
        answered = 'tailfuse_requests_total{route="/predict",status="200"} > 20'
        until(lambda: prometheus.query(answered), "requests are counted")
        callers.mood = truncate_images
        until(
            lambda: prometheus.query('tailfuse_rejected_total{reason="undecodable-image"}'), "one is refused"
        )
    assert set(callers.statuses) == {200, 422}


def test_a_wrong_query_is_told_from_an_empty_answer(scrape: Callable[..., Prometheus]) -> None:
    prometheus = scrape("http://127.0.0.1:9")
    assert prometheus.query("no_such_metric") == []
    with pytest.raises(InvalidQuery, match="parse error"):
        prometheus.query("rate(")
