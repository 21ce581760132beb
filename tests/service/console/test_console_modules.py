"""The console's modules without a browser: their own tests, and their types."""

import re
from pathlib import Path

import pytest

from tests.support.process import ran
from tests.support.programs import locate

HERE = Path(__file__).parent


@pytest.mark.e2e
@pytest.mark.needs("node")
@pytest.mark.parametrize("module", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_the_modules_own_tests_pass(module: str) -> None:
    done = ran(locate("node"), "--test", "--test-reporter=tap", str(HERE / module))
    assert done.returncode == 0, done.stdout
    counts = dict(re.findall(r"^# (pass|fail|skipped) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) >= 5
    assert (counts["fail"], counts["skipped"]) == ("0", "0")
