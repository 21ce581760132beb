"""Which of a model's versions answers whom, as `/admin/models/{name}/roles` takes it."""

import random
import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


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

    @property
    def others(self) -> set[str]:
        """The versions that are canary or shadow."""
        return {each.version for each in (self.canary, self.shadow) if each is not None}

    @property
    def versions(self) -> set[str]:
        """All that are named."""
        return self.others if self.stable is None else {*self.others, self.stable}

    @model_validator(mode="after")
    def _one_role_each(self) -> Self:
        named = [self.stable, self.canary and self.canary.version, self.shadow and self.shadow.version]
        if len(self.versions) < len([each for each in named if each is not None]):
            raise ValueError("a version has one role: stable, canary or shadow")
        return self


def promoted(roles: Roles, version: str) -> Roles:
    """The version becomes stable; whatever else it was, it is no longer."""
    canary = roles.canary if roles.canary is not None and roles.canary.version != version else None
    shadow = roles.shadow if roles.shadow is not None and roles.shadow.version != version else None
    return Roles(stable=version, canary=canary, shadow=shadow)


def latest(versions: Iterable[str]) -> str:
    """The last of at least one: numbers in versions count as numbers, so that 10 comes after 9."""
    return max(versions, key=natural)


def natural(version: str) -> tuple[list[tuple[int, str]], str]:
    """What to sort versions by. Numbers may be of any length, and come after other texts."""
    parts = re.findall(r"[0-9]+|[^0-9]+", version)
    numbers = [part.lstrip("0") if "0" <= part[0] <= "9" else None for part in parts]
    order = [
        (0, part) if number is None else (1 + len(number), number)
        for part, number in zip(parts, numbers, strict=True)
    ]
    return order, version  # 1 and 01 are not the same


def falls_into(share: float, key: bytes | None) -> bool:
    """One of `share` of the requests? The same key always is or is not, and stays when the share grows."""
    if key is None:
        return random.random() < share
    return int.from_bytes(blake2b(key, digest_size=8).digest()) < share * 2**64
