"""What the tests of the bench share."""

from pathlib import Path

import pytest
from tailfuse_bench.datasets import DIGITS
from tailfuse_bench.digits import write_digits


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / DIGITS.name
    write_digits(folder)
    return folder
