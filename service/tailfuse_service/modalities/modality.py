"""What a kind of modality defines for the service: one class with all that serving needs of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from tailfuse_service.errors import BadRequest, InvalidInput, UnknownColumn
from tailfuse_service.modalities.by_kind import ByKind
from tailfuse_service.modalities.json_text import BOM, parse_json
from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.modalities.tensor import Tensor, TensorForm

MAX_INPUTS = 64  # columns, or numbers of channels, that drift is computed for; further ones are not watched
MAX_POINTS = 1000  # pixels of an image or steps of a series that a summary reads; of more every k-th is read

SummaryValues = NDArray[np.float32]  # (n, inputs), NaN is missing


class Frozen(BaseModel):
    """Immutable; unknown keys are refused. What is written has all keys, and so says its schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class Features(Protocol):
    """The fitted features of one modality: raw values become arrays, the same in training and serving."""

    def apply(self, raw: Any) -> NDArray[Any] | None:
        """Return the array of one raw value, or None if it has no content (the modality is absent).

        Raises InvalidInput or a subclass, which names the modality and, where there is one, the column.
        """

    def stack(self, rows: list[NDArray[Any]]) -> NDArray[Any]:
        """Return the arrays of n samples as one, rows first. n may be 0."""


class Summary(NamedTuple):
    """The numbers of a row that input drift is computed from."""

    names: list[str]
    compute: Callable[[NDArray[Any]], SummaryValues]  # rows (n, ...) as from `Features.stack` -> (n, inputs)


class Modality(Frozen, ABC):
    """One modality of a model, as its manifest describes it. Each kind is a subclass with its own fields.

    `kind` is the subclass's name in manifests and specs, a Literal with a default.
    """

    # How one raw value is sent in a form, or given on a command line: a file's bytes, JSON or text.
    part: ClassVar[Literal["file", "JSON", "text"]]
    part_description: ClassVar[str]
    media_type: ClassVar[str]

    kind: str

    @property
    @abstractmethod
    def column_names(self) -> tuple[str, ...]:
        """The table's columns that the modality was fitted on."""

    @property
    def max_row_bytes(self) -> int:
        """Upper bound of the bytes of one row's array, for kinds whose rows are large."""
        return 4096

    @abstractmethod
    def features(self, name: str, limits: Limits = DEFAULT_LIMITS) -> Features:
        """Make the features of the modality called `name`."""

    @abstractmethod
    def input_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the raw value, with a description."""

    @abstractmethod
    def example(self) -> Any:
        """Return a plausible raw value, as JSON."""

    def part_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the form's part.

        The form of /docs begins with the first example of the first alternative. That is an empty text, so
        that a modality which nobody fills in is not sent.
        """
        if self.part == "file":
            return {"type": "string", "format": "binary", "description": self.part_description}
        text = {"type": "string", "examples": [""]}
        if self.part == "text":
            return {**text, "description": self.part_description}
        return {"description": self.part_description, "anyOf": [text, self.input_schema()]}

    def read_part(self, name: str, part: bytes, limits: Limits = DEFAULT_LIMITS) -> Any:
        """Return the raw value in the part of a form, None if it is empty. Raises InvalidInput, TooDeep."""
        if not part:
            return None
        if self.part == "JSON":
            try:
                return parse_json(part, f"modality '{name}'", limits)
            except BadRequest as error:
                raise InvalidInput(error.detail, modality=name, expected="JSON") from None
        if self.part == "text":
            try:
                return part.decode().removeprefix(BOM)
            except UnicodeDecodeError:
                raise InvalidInput(
                    f"modality '{name}': the part is not UTF-8 text", modality=name, expected="UTF-8 text"
                ) from None
        return part

    @abstractmethod
    def tensor_form(self) -> TensorForm:
        """Return the form of the whole modality's tensor in the Open Inference Protocol."""

    @abstractmethod
    def read_tensor(self, tensor: Tensor, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
        """Return the raw value of each row, None if missing; the tensor has the modality's name.

        Raises InvalidInput.
        """

    def read_column(self, tensor: Tensor, name: str, column: str) -> list[Any]:
        """Return each row's cell of one column, for kinds that also take a tensor for each column.

        `tensor` is (rows,) or (rows, 1). Raises InvalidInput, UnknownColumn.
        """
        raise self.unknown_column(name, column, ())

    def unknown_column(self, name: str, column: str, known: Sequence[str]) -> UnknownColumn:
        """Make the error of a tensor for a column that the modality does not have, or not by itself."""
        return UnknownColumn(
            f"modality '{name}' has no column '{column:.80}'"
            + ("" if known else f": a modality of kind {self.kind} is one tensor"),
            modality=name, column=f"{column:.80}", expected=list(known),
        )  # fmt: skip

    @abstractmethod
    def summary(self) -> Summary:
        """Return the summary that input drift is computed from."""


KINDS: dict[str, type[Modality]] = {}  # by name

M = TypeVar("M", bound=Modality)


def register(kind: type[M]) -> type[M]:
    """Make a kind known to manifests, forms and the command line. Returns it, so that it can decorate."""
    KINDS[kind.model_fields["kind"].default] = kind
    return kind


# The type of a pydantic model's field. At run time it does not name the base class, which FastAPI would
# list among the schemas.
if TYPE_CHECKING:
    AnyModality = Modality
else:
    AnyModality = Annotated[Any, ByKind(KINDS.values)]
