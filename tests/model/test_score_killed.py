"""A scoring that is killed at any moment goes on, and ends with the same files."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import environment, ran
from tests.support.scoring import write_shard

KEPT = {  # shards of the first run that the second one finds finished
    "before the manifest is begun": 0,
    "in the middle of a shard": 0,
    "before a shard is noted": 1,
    "in the middle of a line": 1,
    "before a noted shard is in its place": 1,
    "after a shard is in its place": 1,
}


@pytest.fixture(scope="module")
def told(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("killed")
    for at, n_rows in enumerate((300, 200, 100)):
        write_shard(folder / f"in/{at}.parquet", range(20, 20 + n_rows))
    root = Path(__file__).parents[2]
    paths = map(str, (tiny_bundle, folder / "in", folder))
    done = ran(sys.executable, "-m", "tests.support.killed_scoring", *paths, cwd=root, env=environment())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("moment", KEPT)
def test_a_scoring_that_is_killed_ends_with_the_same_files(told: Any, moment: str) -> None:
    never, killed = told["never"], told[moment]
    assert killed["statuses"] == [-9, 0]
    assert killed["kept"] == KEPT[moment]
    journals = [files.pop("_score.jsonl") for files in (never["files"] | {}, killed["files"])]
    assert all(journals)
    assert killed["files"] == {name: never["files"][name] for name in ("0.parquet", "1.parquet", "2.parquet")}
