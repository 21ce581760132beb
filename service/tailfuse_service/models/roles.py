"""Roles of a model's versions: promotion, order of versions, and shares of requests."""

import random
import re
from collections.abc import Iterable
from hashlib import blake2b

from tailfuse_service.settings.roles_file import Roles


def promote_version(roles: Roles, version: str) -> Roles:
    """Return the roles with the version as stable; it loses any other role."""
    canary = roles.canary if roles.canary is not None and roles.canary.version != version else None
    shadow = roles.shadow if roles.shadow is not None and roles.shadow.version != version else None
    return Roles(stable=version, canary=canary, shadow=shadow)


def find_latest(versions: Iterable[str]) -> str:
    """Return the last version. Numbers are compared as numbers, so that 10 comes after 9."""
    return max(versions, key=make_sort_key)


def make_sort_key(version: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key of a version. Numbers may have any length, and come after other text."""
    parts = re.findall(r"[0-9]+|[^0-9]+", version)
    numbers = [part.lstrip("0") if "0" <= part[0] <= "9" else None for part in parts]
    order = [
        (0, part) if number is None else (1 + len(number), number)
        for part, number in zip(parts, numbers, strict=True)
    ]
    return order, version  # 1 and 01 are not the same


def is_in_share(share: float, key: bytes | None) -> bool:
    """Return whether a request is in the share. The result is stable for a key, also when the share grows."""
    if key is None:
        return random.random() < share
    return int.from_bytes(blake2b(key, digest_size=8).digest()) < share * 2**64
