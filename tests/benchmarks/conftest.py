"""What the tests of the bench share."""

from pathlib import Path

import pytest
from tailfuse_bench import datasets
from tailfuse_bench.datasets import DIGITS
from tailfuse_bench.digits import write_digits
from tailfuse_bench.rivals.environment import Environment, find_environment

from tests.support.rivals import NOTES, write_environment, write_notes


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / DIGITS.name
    write_digits(folder)
    return folder


@pytest.fixture
def known_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notes are a dataset of the bench."""
    monkeypatch.setitem(datasets.DATASETS, NOTES.name, NOTES)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_notes(tmp_path_factory.mktemp("sets") / NOTES.name)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """This very environment, which has scikit-learn and none of the other rivals."""
    return find_environment(write_environment(tmp_path_factory.mktemp("environment")), 60)
