"""A soak of a few seconds; `make soak` is the long one. It judges answers and what is left, never time."""

import sys

import pytest

from tests.support.attacks.registry import ATTACKS
from tests.support.soak import soak

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are watched in /proc, and pinned"),
]


def test_every_attack_at_once_leaves_right_answers_and_nothing_behind() -> None:
    report = soak(seconds=8, connections=16, quiet_s=1, timed=False)
    assert report.passed, report
    assert report.attacks.keys() == ATTACKS.keys()
    assert all(report.attacks.values()), (
        report.attacks
    )  # a round is cut short on a slow machine, but it began
