"""The environment of the rivals, and what goes wrong in it."""

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tailfuse.errors import RunError, UserError
from tailfuse_bench.rivals import environment as environments
from tailfuse_bench.rivals.environment import FOLDER, Environment, find_environment, list_versions, run_rival
from tailfuse_bench.rivals.runner.__main__ import RIVALS as RUNNERS

from tests.support.rivals import (
    TFIDF,
    build_problem,
    write_environment,
)

pytestmark = pytest.mark.usefixtures("known_notes")


def test_an_environment_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"bin/python: no such file; make the environment with `make "):
        find_environment(tmp_path / "nowhere", 60)


def test_what_is_not_installed_is_known(environment: Environment) -> None:
    versions = list_versions(environment)
    assert list(versions) == list(RUNNERS)
    assert versions["LightGBM"] is None
    assert versions[TFIDF]


@pytest.mark.parametrize("script", ["exit 3", "echo nonsense", "echo broken >&2; exit 1"])
def test_an_environment_that_cannot_run_is_told(tmp_path: Path, script: str) -> None:
    broken = find_environment(write_environment(tmp_path / "e", script), 60)
    with pytest.raises(UserError, match=r"--rivals: .*python cannot run the rivals: "):
        list_versions(broken)


def test_a_rival_that_fails_is_named_with_its_last_line(
    environment: Environment, notes: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"LightGBM failed with exit status 1: ModuleNotFoundError"):
        run_rival(environment, build_problem(notes, tmp_path, "LightGBM"))


def test_a_rival_that_takes_too_long_is_stopped(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "ALLOWANCE", 0)
    monkeypatch.setattr(environments, "MIN_SECONDS", 0)
    endless = find_environment(write_environment(tmp_path / "e", "exec cat"), 60)
    with pytest.raises(RunError, match="was stopped after 0 seconds"):
        run_rival(endless, build_problem(notes, tmp_path))


def test_a_rival_that_writes_nothing_is_told(notes: Path, tmp_path: Path) -> None:
    silent = find_environment(write_environment(tmp_path / "e", "exit 0"), 60)
    with pytest.raises(RunError, match=f"{TFIDF} ended without an answer"):
        run_rival(silent, build_problem(notes, tmp_path))


def test_the_runner_ends_with_the_process_that_started_it() -> None:
    code = "from runner.__main__ import exit_with_parent; exit_with_parent()"
    ended = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(FOLDER)}, stdin=subprocess.DEVNULL, timeout=60
    )
    assert ended.returncode == 1


def test_a_training_that_took_all_of_its_time_is_told(
    environment: Environment, notes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tailfuse"):
        run_rival(replace(environment, seconds=0), build_problem(notes, tmp_path))
    assert f"{TFIDF}: training took all of its 0 seconds" in caplog.text
