"""Which of a model's versions answers whom, as `/admin/models/{name}/roles` takes it."""

import random
import re
from collections.abc import Iterable
from hashlib import blake2b

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Not to be changed; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Canary(Frozen):
    """A version that answers a share of the requests."""

    version: str
    share: float = Field(gt=0, lt=1)


class Shadow(Frozen):
    """A version that is asked a share of what the stable one is asked, and answers nobody."""

    version: str
    share: float = Field(default=1.0, gt=0, le=1)


class Roles(Frozen):
    """`stable` answers what the canary does not; null is the latest version that has no other role."""

    stable: str | None = None
    canary: Canary | None = None
    shadow: Shadow | None = None


def latest(versions: Iterable[str]) -> str:
    """The last of at least one: numbers in versions count as numbers, so that 10 comes after 9."""
    return max(versions, key=natural)


def natural(version: str) -> list[tuple[bool, int, str]]:
    parts = re.findall(r"[0-9]+|[^0-9]+", version)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def falls_into(share: float, key: bytes | None) -> bool:
    """One of `share` of the requests? The same key always is or is not, and stays when the share grows."""
    if key is None:
        return random.random() < share
    return int.from_bytes(blake2b(key, digest_size=8).digest()) < share * 2**64
