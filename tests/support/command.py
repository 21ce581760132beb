"""The command `tailfuse`, run as a user runs it."""

import sys
from pathlib import Path
from typing import Any

from tests.support.process import ran

TAILFUSE = str(Path(sys.executable).with_name("tailfuse"))


def tailfuse(*arguments: object, **options: Any) -> str:
    """The output of a command that succeeds."""
    done = ran(TAILFUSE, *map(str, arguments), **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*arguments: object, code: int = 1) -> str:
    """The sentence of a command that is refused."""
    done = ran(TAILFUSE, *map(str, arguments))
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("Error: ")
    return sentence
