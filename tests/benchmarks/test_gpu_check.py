"""`make gpu-check` on a machine without a GPU: its parts are apart, and what was measured is kept."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from gpu_check import check
from gpu_check.parts import PARTS, Part

pytest.importorskip("torch")

RunScript: TypeAlias = Callable[[str, float], list[dict[str, Any]]]
CARD = "card"


def read_records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "gpu-check.jsonl").read_text().splitlines()]


def test_a_part_s_figures_are_written_by_the_name_of_the_card(tmp_path: Path) -> None:
    arguments = ["--device", "cpu", "--out", str(tmp_path / "out"), "--work", str(tmp_path), "--parts", CARD]
    assert check.main(arguments) == 0
    records = read_records(tmp_path / "out")
    assert records[0]["card"] == "cpu"
    assert {record["part"] for record in records} == {CARD}
    assert json.loads((tmp_path / "out" / "cpu.json").read_text())["records"] == records


def test_a_device_that_is_not_there_is_an_error_of_its_parts_alone(tmp_path: Path) -> None:
    arguments = ["--device", "cuda:99", "--out", str(tmp_path), "--work", str(tmp_path), "--parts", CARD]
    assert check.main(arguments) == 1
    assert [record["part"] for record in read_records(tmp_path) if "error" in record] == [CARD]


@pytest.fixture
def run_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunScript:
    """Runs a script as a part, with a limit in seconds."""

    def run(script: str, limit_s: float) -> list[dict[str, Any]]:
        monkeypatch.setattr(check, "make_command", lambda *_: [sys.executable, "-c", script])
        return check.run_part(Part("slow", limit_s, "none", "none"), check.parse([]), limit_s)

    return run


def test_what_a_part_measured_before_it_failed_is_kept(run_script: RunScript) -> None:
    found, error, took = run_script("print('{\"found\": 1}'); raise SystemExit('the device is full')", 600)
    assert found == {"part": "slow", "found": 1}
    assert error == {"part": "slow", "error": "the device is full"}
    assert list(took) == ["part", "took_s"]


def test_a_part_ends_at_its_limit(run_script: RunScript) -> None:
    error, _ = run_script("import time; time.sleep(600)", 1)
    assert error == {"part": "slow", "error": "did not end within 1 s"}


def test_a_part_that_has_no_time_left_is_named() -> None:
    assert check.run_part(PARTS[0], check.parse([]), 0) == [{"part": CARD, "error": "no time was left"}]


def test_every_part_names_a_function() -> None:
    for part in PARTS:
        assert callable(getattr(importlib.import_module(f"gpu_check.{part.module}"), part.function))
