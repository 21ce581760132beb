"""Every command of docs/TUTORIAL.md runs as it stands, one after the other, in one shell."""

import json
from pathlib import Path

import pytest

from tests.support.pages import make_script, read_blocks, run_script
from tests.support.ports import find_free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.needs("curl")]

PAGE = "docs/TUTORIAL.md"
BLOCKS = read_blocks(PAGE)
[INFERRED_SPEC] = [block.text for block in BLOCKS if block.language == "yaml" and not block.title]


def test_its_commands_run(tmp_path: Path) -> None:
    script = make_script(BLOCKS, find_free_port())
    script = script.replace("cat > spec.yaml", "mv spec.yaml inferred.yaml; cat > spec.yaml")
    script = script.replace("curl -sSf", "curl -sSf -w '\\n'")
    done = run_script(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clothes" / "inferred.yaml").read_text().strip() == INFERRED_SPEC.strip()
    answers = [json.loads(each) for each in done.stdout.splitlines() if each.startswith('{"request_id"')]
    present = [[name for name, each in a["modalities"].items() if each["present"]] for a in answers]
    assert present == [["text"], ["text", "customer"], ["text", "customer"]]
    assert (tmp_path / "clothes" / "june" / "manifest.json").exists()


def test_a_broken_text_has_no_weight_in_the_answers_shown() -> None:
    whole, broken = (json.loads(block.text) for block in BLOCKS if block.language == "json")
    for answer in (whole, broken):
        assert sum(each["weight"] for each in answer["modalities"].values()) == pytest.approx(1, abs=1e-5)
    assert broken["modalities"]["text"]["weight"] < 0.01 < whole["modalities"]["text"]["weight"]
