"""`tailfuse bench` where the distribution tailfuse-bench is not installed."""

import sys
from importlib.machinery import PathFinder

import pytest
from click.testing import CliRunner
from tailfuse.cli import bench, main


def test_without_the_distribution_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = PathFinder.find_spec

    def find_other_packages(name, *arguments):
        return None if name == bench.PACKAGE else find_spec(name, *arguments)

    for name in [name for name in sys.modules if name.split(".")[0] == bench.PACKAGE]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if each is PathFinder])
    monkeypatch.setattr(PathFinder, "find_spec", find_other_packages)
    monkeypatch.setattr(bench, "command", bench.load_command())
    done = CliRunner().invoke(main, ["bench", "--quick", "--out", "anywhere"])
    assert done.exit_code == 1
    assert "pip install ./benchmarks" in done.output
    assert "bench " in CliRunner().invoke(main, ["--help"]).output
