"""What the specs of all kinds share: frozen models, names and patterns of columns."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from tailfuse_service.bundle import sha256

from tailfuse.errors import SpecError


class Frozen(BaseModel):
    """Immutable; unknown keys and numbers that are not finite are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def _columns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1)]
# One pattern may be written without brackets; either way it is read as a tuple.
Columns = Annotated[tuple[Name, ...], BeforeValidator(_columns), Field(min_length=1)]
Trained = Literal["none", "last", "all"]  # how much of a pretrained encoder is trained


class ModalitySpec(Frozen):
    """The keys of one modality in a spec. Each kind is a subclass with its own keys and a default encoder.

    `kind` is a Literal without a default.
    """

    kind: str
    encoder: Name
    """Encoder of the modality."""

    @property
    def weights_path(self) -> Path | None:
        """The local file that the encoder's weights come from, if they come from one."""
        return None

    def resolve_paths(self, folder: Path) -> Self:
        """Return the spec with its paths absolute, which were relative to the spec's folder."""
        return self


def digest_weights(key: str, path: Path) -> str:
    """Return the sha256 of a file of weights, which stands at a key of the spec. Raises SpecError."""
    try:
        return sha256(path)
    except OSError as error:
        raise SpecError(f"{key}: {path}: {(error.strerror or 'cannot be read').lower()}") from None
