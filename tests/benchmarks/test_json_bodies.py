"""What python benchmarks/json_bodies.py prints: a line for each body, with each step."""

import json
import sys
from pathlib import Path

from tests.support.process import ran

ROOT = Path(__file__).parents[2]


def test_each_body_has_a_line_with_each_step() -> None:
    done = ran(sys.executable, str(ROOT / "benchmarks/json_bodies.py"), "1")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 5
    assert all({"body", "bytes", "structure", "memory", "read"} <= line.keys() for line in lines)
    assert [line["body"] for line in lines if "decode" in line] == ["photo"]
