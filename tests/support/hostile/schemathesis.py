"""Requests made from an OpenAPI document."""

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy


def try_out(cases: SearchStrategy[schemathesis.Case], truth: list[schemathesis.CheckFunction]) -> None:
    @given(cases)
    @settings(
        max_examples=60, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=truth)

    holds()
