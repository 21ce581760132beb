"""Read a file of keys, which the settings `api_keys` and `admin_keys` name."""

import re
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

LINE = re.compile(r"(?:[^:]*:)?\s*([A-Za-z0-9._~+/-]{16,}=*)\s*")  # RFC 6750's characters


class KeyFile(NamedTuple):
    """The SHA-256 of each key, and a sentence for each line that is no key. It shows no key."""

    digests: list[bytes]
    problems: list[str]


def parse_keys(path: Path) -> KeyFile:
    """Read a file. A line is `name: key` or a key; `#` starts a comment.

    Raises ValueError if there is no key.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    digests, problems = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line)
        if found is None:
            problems.append(f"{path}, line {number}: a key is 16 or more of the characters A-Za-z0-9._~+/-=")
        else:
            digests.append(sha256(found[1].encode()).digest())
    if not digests:
        raise ValueError(problems[0] if problems else f"{path} contains no keys")
    return KeyFile(digests, problems)


def read_keys(path: Path) -> list[bytes]:
    """Return the SHA-256 of each key in a file, all of whose lines are valid. Raises ValueError."""
    found = parse_keys(path)
    if found.problems:
        raise ValueError(found.problems[0])
    return found.digests
