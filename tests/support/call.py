"""`tailfuse call`, run as a user runs it."""

import subprocess
import sys
from typing import Any

from tests.support.keys import KEY
from tests.support.process import environment, ran

TABLE = "image,age,smoker,site,title,review\n,61,true,back,dark,\nlesion.png,,,,,\n,old,,face,,\n"


def call(*arguments: object, key: str = KEY, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = (sys.executable, "-m", "tailfuse", "call", *map(str, arguments))
    return ran(*command, env=environment(TAILFUSE_KEY=key), **options)


def answered(*arguments: object, code: int = 0, **options: Any) -> str:
    """Return what it prints; its exit status must be `code`."""
    done = call(*arguments, **options)
    assert done.returncode == code, done.stderr
    return done.stdout


def refused(*arguments: object, code: int = 1, **options: Any) -> str:
    """Return the last line of what it says on stderr; its exit status must be `code`."""
    done = call(*arguments, **options)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]
