"""Which of a model's versions answers whom, as `/admin/models/{name}/roles` takes it."""

import random
import re
from collections.abc import Iterable
from hashlib import blake2b

from tailfuse_service.settings.roles_file import Roles


def promote_version(roles: Roles, version: str) -> Roles:
    """The version becomes stable; whatever else it was, it is no longer."""
    canary = roles.canary if roles.canary is not None and roles.canary.version != version else None
    shadow = roles.shadow if roles.shadow is not None and roles.shadow.version != version else None
    return Roles(stable=version, canary=canary, shadow=shadow)


def find_latest(versions: Iterable[str]) -> str:
    """The last of at least one: numbers in versions count as numbers, so that 10 comes after 9."""
    return max(versions, key=make_sort_key)


def make_sort_key(version: str) -> tuple[list[tuple[int, str]], str]:
    """What to sort versions by. Numbers may be of any length, and come after other texts."""
    parts = re.findall(r"[0-9]+|[^0-9]+", version)
    numbers = [part.lstrip("0") if "0" <= part[0] <= "9" else None for part in parts]
    order = [
        (0, part) if number is None else (1 + len(number), number)
        for part, number in zip(parts, numbers, strict=True)
    ]
    return order, version  # 1 and 01 are not the same


def is_in_share(share: float, key: bytes | None) -> bool:
    """One of `share` of the requests? The same key always is or is not, and stays when the share grows."""
    if key is None:
        return random.random() < share
    return int.from_bytes(blake2b(key, digest_size=8).digest()) < share * 2**64
