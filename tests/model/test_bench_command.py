"""`tailfuse bench` where the distribution tailfuse-bench is not installed."""

import sys

import pytest
from click.testing import CliRunner
from tailfuse.cli import bench, main


def test_without_the_distribution_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, bench.PACKAGE, None)  # as if it could not be found
    monkeypatch.setattr(bench, "command", bench.load_command())
    done = CliRunner().invoke(main, ["bench", "--quick", "--out", "anywhere"])
    assert done.exit_code == 1
    assert "pip install ./benchmarks" in done.output
    assert "bench " in CliRunner().invoke(main, ["--help"]).output
