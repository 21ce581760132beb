"""The commands of pages run as they stand, one after the other, in one shell; titled blocks are files.

Trainings are short here, services listen on a free port, and `tailfuse demo --no-serve`, which test_demo.py
runs, is a copy of the quick-start that other tests use as well.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import make_script, read_blocks
from tests.support.process import environment

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("curl")]

PAGES = [
    "docs/QUICKSTART.md",
    *(f"docs/tutorials/{name}.md" for name in ("images", "text", "sensors")),
    *(
        f"docs/howto/{name}.md"
        for name in ("encoder", "imbalance", "missing", "report", "tuning", "unlabelled")
    ),
    pytest.param("docs/howto/tracking.md", marks=pytest.mark.needs("mlflow", "tensorboard")),
]


@pytest.mark.parametrize("page", PAGES)
def test_its_commands_run(page: str, quickstart: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    script = make_script(read_blocks(page), port).replace(
        "tailfuse demo --no-serve", 'cp -r "$QUICKSTART" quickstart'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env=environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            QUICKSTART=str(quickstart), OMP_NUM_THREADS="1",
        ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    assert "Traceback" not in done.stderr
