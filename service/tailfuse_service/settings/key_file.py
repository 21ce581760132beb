"""Read a file of keys, which the settings `api_keys` and `admin_keys` name."""

import re
from hashlib import sha256
from pathlib import Path

LINE = re.compile(r"(?:[^:]*:)?\s*([A-Za-z0-9._~+/-]{16,}=*)\s*")  # RFC 6750's characters


def read_keys(path: Path) -> list[bytes]:
    """Return the SHA-256 of each key in a file. A line is `name: key` or a key; `#` starts a comment.

    Raises ValueError. Its message shows no key.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    digests = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"{path}, line {number}: a key is 16 or more of the characters A-Za-z0-9._~+/-=")
        digests.append(sha256(found[1].encode()).digest())
    if not digests:
        raise ValueError(f"{path} contains no keys")
    return digests
