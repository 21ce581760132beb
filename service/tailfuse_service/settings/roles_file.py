"""Read and write the file that the setting `roles` names: the roles of each model's versions, as JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tailfuse_service.bundle.atomic import write_atomically


class Frozen(BaseModel):
    """An immutable model that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Canary(Frozen):
    """A version that answers a share of the requests."""

    version: str
    share: float = Field(gt=0, lt=1)


class Shadow(Frozen):
    """A version that gets a share of the stable version's requests; its answers are only compared."""

    version: str
    share: float = Field(default=1.0, gt=0, le=1)


class Roles(Frozen):
    """`stable` answers what the canary does not. Null means the latest version without another role."""

    stable: str | None = None
    canary: Canary | None = None
    shadow: Shadow | None = None

    @property
    def others(self) -> set[str]:
        """Versions that are canary or shadow."""
        return {each.version for each in (self.canary, self.shadow) if each is not None}

    @property
    def versions(self) -> set[str]:
        """All versions that have a role."""
        return self.others if self.stable is None else {*self.others, self.stable}

    @model_validator(mode="after")
    def _one_role_each(self) -> Self:
        named = [self.stable, self.canary and self.canary.version, self.shadow and self.shadow.version]
        if len(self.versions) < len([each for each in named if each is not None]):
            raise ValueError("a version can have only one role: stable, canary or shadow")
        return self


ROLES: TypeAdapter[dict[str, Roles]] = TypeAdapter(dict[str, Roles])


def read_roles(path: Path, absent: Mapping[str, Roles] | None = None) -> dict[str, Roles]:
    """Return the roles by model in a JSON file. A file that does not exist yet has no roles.

    `absent` are the roles of the last read; if there are some, a missing file is an error. Raises ValueError.
    """
    try:
        return ROLES.validate_json(path.read_bytes())
    except FileNotFoundError:
        if absent:
            raise ValueError(f"{path} no longer exists") from None
        return {}
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ValueError(f"{path}: {where}{first['msg'].removeprefix('Value error, ')}") from None


def write_roles(path: Path, roles: Mapping[str, Roles]) -> None:
    """Write the file atomically. Raises OSError."""
    text = orjson.dumps({name: each.model_dump() for name, each in roles.items()}, option=orjson.OPT_INDENT_2)
    write_atomically(path, text + b"\n")
