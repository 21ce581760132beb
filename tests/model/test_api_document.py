"""The code of docs/PYTHON.md runs as it stands, block after block."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import read_blocks

pytestmark = pytest.mark.slow


def test_the_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [block for block in read_blocks("docs/PYTHON.md") if block.language == "python"]
    assert len(blocks) >= 6
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile("\n" * block.line + block.text, block.page, "exec"), names)
    assert names["clf"].classes_.tolist() == ["ash", "elm", "oak"]
    assert names["result"].summary["mean"].null_count() == 0
    assert {"report.html", "leaves.zip", "runs"} <= {path.name for path in tmp_path.iterdir()}
