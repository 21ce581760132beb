"""Authentication with keys from files. Without such a file, no key is needed.

A client sends its key as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Health checks and /metrics need no
key: monitoring has none, and these routes show nothing about requests.
"""

import hmac
import os
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from tailfuse_service.errors import Forbidden, Unauthorized
from tailfuse_service.http import paths
from tailfuse_service.logs import LOG
from tailfuse_service.settings.key_file import parse_keys, read_keys

CHECK_S = 1.0  # between two checks of the file


class Keys:
    """The current keys of a file. Raises ValueError if the file cannot be read at the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fingerprint = read_fingerprint(path)
        self._digests = read_keys(path)
        self._n_problems = 0
        self._next_check = time.monotonic() + CHECK_S

    def __contains__(self, key: bytes) -> bool:
        """Compare with every key, each in constant time, so that the time tells nothing about the keys."""
        self._refresh()
        digest = sha256(key).digest()
        found = False
        for each in self._digests:
            found |= hmac.compare_digest(each, digest)
        return found

    def _refresh(self) -> None:
        """Read the file again if it has changed. Without any valid line, the old keys stay."""
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + CHECK_S
        fingerprint = read_fingerprint(self._path)
        if fingerprint == self._fingerprint:
            return
        self._fingerprint = fingerprint
        try:
            self._digests, problems = parse_keys(self._path)
        except ValueError as error:
            self._n_problems = 1
            LOG.error("keys not read; the old ones stay", extra={"reason": str(error)})
            return
        self._n_problems = len(problems)
        if problems:
            LOG.error("lines of keys are invalid; the others count", extra={"reason": problems[0]})
        LOG.info("keys read", extra={"path": str(self._path), "keys": len(self._digests)})

    def count_problems(self) -> int:
        """Return how many lines of the file are invalid; 1 if it has no key."""
        self._refresh()
        return self._n_problems


def read_fingerprint(path: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when the file changes; None if it does not exist."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class KeyCheck:
    """Checks that a request has a key for its route. Admin keys are valid for all routes."""

    def __init__(self, keys: Keys | None, admins: Keys | None) -> None:
        self._keys = keys
        self._admins = admins

    def check(self, headers: Iterable[tuple[bytes, bytes]], access: paths.Access) -> bytes | None:
        """Return the key of a request, or None if it needs none.

        Raises Unauthorized without a known key, and Forbidden for a key that does not give `access`.
        """
        admin = access is paths.Access.ADMIN
        keyless = access is paths.Access.OPEN or access is paths.Access.PAGE
        if keyless or (self._keys is None and not admin):
            return None
        key = find_key(headers)
        if key is None:
            raise Unauthorized(
                "missing key; send 'Authorization: Bearer KEY' or 'X-API-Key: KEY'", expected="a key"
            )
        # Both files are checked, so that the time tells nothing.
        is_admin = self._admins is not None and key in self._admins
        is_known = self._keys is not None and key in self._keys
        if not (is_admin or is_known):
            raise Unauthorized("unknown key", expected="a key")
        if admin and not is_admin:
            raise Forbidden("the key is not an admin key", expected="an admin's key")
        return key

    def count_problems(self) -> int:
        """Return how many lines of both files are invalid."""
        return sum(keys.count_problems() for keys in (self._keys, self._admins) if keys is not None)


def find_key(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the key in the headers; X-API-Key wins over Authorization."""
    bearer = None
    for name, value in headers:
        lower = name.lower()
        if lower == b"x-api-key":
            return bytes(value).strip()
        if lower == b"authorization":
            scheme, _, rest = bytes(value).strip().partition(b" ")
            if scheme.lower() == b"bearer":
                bearer = rest.strip()
    return bearer


def make_key_check(api_keys: Path | None, admin_keys: Path | None) -> KeyCheck | None:
    """Return the check of these files, or None without any. Raises ValueError."""
    if api_keys is None and admin_keys is None:
        return None
    return KeyCheck(Keys(api_keys) if api_keys else None, Keys(admin_keys) if admin_keys else None)
