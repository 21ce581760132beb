"""Warnings on the console: each one once."""

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console
from tailfuse.cli.log import show_warnings


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    log = logging.getLogger("tailfuse")
    before = log.handlers[:]
    yield log
    log.handlers = before


def test_a_warning_is_shown_once_per_cause(log: logging.Logger) -> None:
    printed = io.StringIO()
    show_warnings(Console(file=printed, width=100))
    for column in ("age", "sex", "age"):
        log.warning("column '%s' is odd", column)
    assert printed.getvalue().count("column 'age' is odd") == 1
    assert printed.getvalue().count("column 'sex' is odd") == 1
