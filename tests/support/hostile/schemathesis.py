"""Requests made from an OpenAPI document."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy


def try_out(cases: SearchStrategy[schemathesis.Case[Any]], truth: list[schemathesis.CheckFunction]) -> None:
    @given(cases)
    @settings(
        max_examples=60, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def holds(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(checks=truth)

    holds()
