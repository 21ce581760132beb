"""What python benchmarks/trees.py prints: a line for each spec, with the figures of each answer."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.own_dataset import write_parts
from tests.support.process import ran

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_trees_and_network_are_scored_alone_and_together(tmp_path: Path) -> None:
    write_parts(tmp_path / "parts")
    done = ran(sys.executable, str(ROOT / "benchmarks" / "trees.py"), str(tmp_path / "parts" / "spec.yaml"))
    assert done.returncode == 0, done.stderr
    [line] = map(json.loads, done.stdout.splitlines())
    assert list(line) == ["spec", "test_rows", "tailfuse", "trees", "both, 0.5", "both, 1.0"]
    assert line["test_rows"] == 14
    for name in list(line)[2:]:
        assert 0 <= line[name]["balanced_accuracy"] <= 1
        assert line[name]["nll"] >= 0
    assert line["trees"]["balanced_accuracy"] > 0.6
