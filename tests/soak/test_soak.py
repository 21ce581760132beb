"""A soak of a few seconds; `make soak` is the long one."""

from pathlib import Path

import pytest

from tests.support.soak import soak

pytestmark = pytest.mark.e2e


def test_mixed_callers_get_right_answers_and_leave_nothing_behind(tiny_bundle: Path) -> None:
    report = soak(tiny_bundle, seconds=5, connections=16)
    assert report.passed, report
