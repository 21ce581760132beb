"""`tailfuse score --on ray`: the same answers on a cluster of two nodes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tailfuse
from click.testing import CliRunner
from tailfuse.cli import main
from tailfuse.scoring.on_ray import describe_error

from tests.support.on_ray.start import make_command, make_variables
from tests.support.scoring import list_files, write_shard


@pytest.mark.slow
@pytest.mark.needs("ray")
def test_answers_on_a_cluster_are_those_of_processes(tiny_bundle: Path, tmp_path: Path) -> None:
    """Paths are relative, and rows are bad; an actor has another working directory."""
    for at in range(4):
        write_shard(tmp_path / f"in/{at}.parquet", ["old", *range(20, 40 + at)])
    tailfuse.score(tiny_bundle, tmp_path / "in", tmp_path / "expected", keep="id", processes=1)
    done = subprocess.run(
        make_command("tests.support.on_ray.score_twice", [str(tiny_bundle), "in", "."]),
        cwd=tmp_path, capture_output=True, text=True, timeout=500, 
        env=make_variables(RAY_raylet_start_wait_time_s="300"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["nodes"] == 2
    assert (told["first"]["scored"], told["first"]["rows"], told["first"]["errors"]) == (4, 90, 4)
    assert (told["again"]["scored"], told["again"]["kept"]) == (0, 4)
    assert "has no model.ts" in told["refused"]
    assert told["left"] == []
    assert list_files(tmp_path / "out") == list_files(tmp_path / "expected")
    for at in range(4):
        written = (tmp_path / f"out/{at}.parquet").read_bytes()
        assert written == (tmp_path / f"expected/{at}.parquet").read_bytes()


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            "The actor died because of an error in its creation task, \x1b[36mray::MapWorker()\x1b[39m\n"
            "           ^^^^\n  File 'plan.py', line 1\nModuleNotFoundError: No module named 'tailfuse'",
            "ModuleNotFoundError: No module named 'tailfuse'",
        ),
        (
            "\x1b[36mray::MapWorker.submit()\x1b[39m (pid=1)\n  File 'on_ray.py', line 2\nMemoryError\n\n"
            "The above exception was the direct cause of the following exception:\n",
            "MemoryError",
        ),
        (
            "The actor died unexpectedly.\n\tclass_name: MapWorker\nIt was killed.",
            "The actor died unexpectedly.",
        ),
        ("\x1b[36mray::MapWorker()\x1b[39m", "\x1b[36mray::MapWorker()\x1b[39m"),
        ("", "Exception"),
    ],
)
def test_the_line_of_an_error_of_ray_that_says_why_is_told(told: str, why: str) -> None:
    assert describe_error(Exception(told)) == why


def test_ray_that_is_not_installed_is_named(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    table = write_shard(tmp_path / "a.parquet", [61])
    command = ["score", str(tiny_bundle), str(table), "--on", "ray", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert "this command needs ray" in done.stderr
    assert "[ray]" in done.stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="on is 'dask'; it must be 'processes' or 'ray'"):
        tailfuse.score(tiny_bundle, table, tmp_path / "out", on="dask")  # type: ignore[arg-type]
