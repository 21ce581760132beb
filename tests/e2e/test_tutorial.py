"""Every command of docs/TUTORIAL.md runs as it stands, one after the other, in one shell."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import environment

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("curl")]

PAGE = (Path(__file__).parents[2] / "docs" / "TUTORIAL.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = "\n".join(block for block in BLOCKS if "docker" not in block)  # containers are in images_check.py
INFERRED_SPEC, SPEC = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
URL = "http://127.0.0.1:8000"


def make_script(port: int) -> str:
    """Return the page's commands as one script: with a short training, on a free port, and without pauses."""
    url = f"http://127.0.0.1:{port}"
    steps = {
        "init table.csv\n": "init table.csv\nmv spec.yaml inferred.yaml\ncp ../mine.yaml spec.yaml\n",
        "train spec.yaml\n": "train spec.yaml --set training.epochs=6 --set training.folds=2\n",
        "serve runs/digits/bundle &\n": (
            f"serve runs/digits/bundle --port {port} & trap 'kill $!' EXIT\n"
            f"until curl -sf -o /dev/null {url}/readyz; do kill -0 $! && sleep 0.1; done\n"
        ),
        "kill %1\n": "trap - EXIT; kill %1; wait %1\n",
    }
    script = COMMANDS
    for step, replacement in steps.items():
        assert script.count(step) == 1, step
        script = script.replace(step, replacement)
    return "set -e\n" + script.replace(URL, url).replace("curl -F", "curl -sSf -w '\\n' -F")


def test_its_commands_run(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SPEC)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", make_script(port)], cwd=tmp_path, capture_output=True, text=True, timeout=600,
        env=environment(PATH=path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "digits" / "inferred.yaml").read_text() == INFERRED_SPEC
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"request_id"')]
    present = [[name for name, each in a["modalities"].items() if each["present"]] for a in answers]
    assert present == [["image"], ["image", "fourier", "shape"], ["image", "fourier", "shape"]]
    assert (tmp_path / "digits" / "june" / "manifest.json").exists()


def test_noise_takes_the_weight_of_the_image_in_the_answers_shown() -> None:
    whole, broken = (json.loads(each) for each in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    for answer in (whole, broken):
        assert sum(each["weight"] for each in answer["modalities"].values()) == pytest.approx(1, abs=1e-5)
    assert broken["modalities"]["image"]["weight"] < 0.001 < whole["modalities"]["image"]["weight"]
