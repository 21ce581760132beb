"""The bench of an epoch trains by both loops and says what each took."""

import json
import sys
from pathlib import Path

from tests.support.process import ran

ROOT = Path(__file__).parents[2]
SPEC = """\
name: shapes
table: table.csv
label: label
modalities:
  columns: {kind: tabular, columns: [number]}
  words: {kind: text, columns: words, buckets: 32}
network: {width: 8}
"""


def test_both_loops_train_a_table_whose_rows_lack_texts(tmp_path: Path) -> None:
    words = ["red oak", "", "green elm"]
    rows = [f"{at % 3}.{at},{words[at % 3]},class {at % 3}\n" for at in range(60)]
    (tmp_path / "table.csv").write_text("number,words,label\n" + "".join(rows))
    (tmp_path / "spec.yaml").write_text(SPEC)
    command = [sys.executable, str(ROOT / "benchmarks/epoch.py"), str(tmp_path / "spec.yaml")]
    done = ran(*command, "--epochs", "2", "--rounds", "1", timeout=300)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert (measured["spec"], measured["rows"], measured["epochs"]) == ("shapes", 42, 2)
    assert min(measured[f"{name}_ms"] for name in ("bare", "tailfuse", "with_validation")) > 0
    assert measured["tailfuse_ratio"] > 0


def test_a_spec_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks/epoch.py"), str(tmp_path / "none.yaml")]
    done = ran(*command, timeout=300)
    assert done.returncode == 1
    assert done.stderr == f"Error: {tmp_path}/none.yaml: no such file or directory\n"
