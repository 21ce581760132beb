"""What a kind of modality defines for training: one class with all that training needs of it.

Torch is imported only where an encoder is built or rows are corrupted: reading a table does not need it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tailfuse_service.modalities import Modality

from tailfuse.errors import SpecError
from tailfuse.files.cells import Unreadable
from tailfuse.files.reading import DEFAULT_READING, Reading
from tailfuse.files.table import Rows
from tailfuse.modalities.example_values import to_json
from tailfuse.modalities.preview import Preview, preview_cells
from tailfuse.modalities.spec import ModalitySpec

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

S = TypeVar("S", bound=ModalitySpec)
M = TypeVar("M", bound=Modality)

Decode = Callable[[], Iterable[NDArray[Any] | None]]  # the array of each row, None where it is absent
Arrays = tuple[NDArray[Any], NDArray[np.int64]]  # (n, ...), and the position of each row in it, -1 if absent


class Kind(ABC, Generic[S, M]):
    """One kind of modality in training. `S` are its keys in a spec, `M` is what is fitted and served."""

    name: ClassVar[str]  # the `kind` of its specs and of its modalities
    spec: ClassVar[type[ModalitySpec]]
    encoder_names: ClassVar[tuple[str, ...]]  # for `encoder:`

    reads_files: ClassVar[bool] = False  # a cell may be a path: errors name it
    decodes_in_threads: ClassVar[bool] = False  # decoding releases the interpreter's lock
    ragged: ClassVar[bool] = False  # its rows have different lengths; batches pad them
    # Precisions that its encoder can be exported with.
    precisions: ClassVar[tuple[str, ...]] = ()
    # The beginnings of the names of the encoder's weights that are reduced; by default all are.
    reduced_parts: ClassVar[tuple[str, ...]] = ("",)
    block_parts: ClassVar[tuple[str, ...]] = ()  # the same, of weights that are int8 by blocks
    # Whether the final network also scores the corrupted rows of the folds. Some corruptions have a single
    # result, such as a black image. Where the final network places that point, the fold networks cannot tell.
    final_scores_corrupted: ClassVar[bool] = False
    card_note: ClassVar[str] = ""  # a sentence in the model card about `card_example`

    @abstractmethod
    def fit(
        self,
        name: str,
        spec: S,
        table: pl.DataFrame,
        rows: Rows,
        folder: Path,
        reading: Reading = DEFAULT_READING,
    ) -> M:
        """Fit the modality called `name` on the training `rows` of a table whose files lie in `folder`.

        `reading` is how the table was read. Raises TableError.
        """

    def choose_encoder(
        self, name: str, spec: S, modality: M, table: pl.DataFrame, rows: Rows, labels: NDArray[np.int64],
        folder: Path, seed: int,
    ) -> M:  # fmt: skip
        """Return a fitted modality with an encoder chosen by some of the rows, where the spec leaves it open.

        `labels` are the classes of the training `rows`. It comes before any array is made.
        """
        return modality

    def fit_to_labels(
        self, spec: S, modality: M, rows: NDArray[Any], labels: NDArray[np.int64], groups: NDArray[np.int64],
        seed: int,
    ) -> M:  # fmt: skip
        """Fit what the labels decide, of a fitted modality; `rows` are the training rows' arrays (n, ...).

        Rows of one group (n,) are not to be on both sides of a comparison. The arrays must stay as they are.
        """
        return modality

    @abstractmethod
    def raw_values(
        self, name: str, modality: M, table: pl.DataFrame, rows: Rows, folder: Path
    ) -> Iterator[Any]:
        """Yield the raw value of each row as `Features.apply` takes it, None where it is missing.

        Paths are relative to `folder`. Raises TableError that names modality, column and row.
        """

    def example_value(self, modality: M, raw: Any) -> Any:
        """Return a raw value as JSON, to show what a request looks like; None if it cannot be shown."""
        return to_json(raw)

    def read_arrays(
        self,
        name: str,
        modality: M,
        table: pl.DataFrame,
        rows: Rows,
        errors: dict[int, str] | None = None,
    ) -> Arrays | None:
        """Return the rows' arrays read by columns, equal to those of `raw_values`; None if the kind cannot.

        What is wrong with a row is put into `errors`. Without `errors` it raises TableError, which names
        modality, column and row.
        """
        return None

    def load_cached(
        self, modality: M, table: pl.DataFrame, rows: Rows, folder: Path, decode: Decode
    ) -> Arrays | None:
        """Return the rows' arrays from a cache on disk, filled by `decode`; None if there is no cache."""
        return None

    def on_unreadable(self, modality: M) -> Unreadable:
        """Return what a file that cannot be read does, of a kind that reads files."""
        return "stop"

    def check_encoder(self, name: str) -> None:
        """Raises SpecError if the kind has no encoder of this name."""
        if name not in self.encoder_names:
            known = ", ".join(self.encoder_names)
            raise SpecError(f"encoder: '{name}' is no encoder for kind '{self.name}'; known: {known}")

    @abstractmethod
    def build_encoder(
        self, spec: S, modality: M, *, width: int, dropout: float, input_dropout: float
    ) -> "nn.Module":
        """Build the encoder that the spec names: rows (n, ...) -> (n, width). Raises SpecError.

        It has `extract_features(rows) -> (n, D)` and `layers`, which turn the features into the embedding.
        With `ragged = True` the second axis of its rows has another length in every batch.
        """

    def count_inputs(self, modality: M, rows: NDArray[Any], width: int) -> int:
        """Return how many numbers of a row enter the encoder's first layer; `rows` are (n, ...)."""
        return prod(rows.shape[1:])

    def linear_columns(self, modality: M, rows: NDArray[Any]) -> Any:
        """Return the columns that a linear model takes of rows (n, ...), n > 0: (n, K), an array or sparse.

        Rows of different lengths become the mean, the spread and the extremes of their steps.
        """
        if rows.dtype != object:
            return rows.reshape(len(rows), -1).astype(np.float64)
        steps = [np.asarray(row, np.float64).reshape(len(row), -1) for row in rows]
        return np.stack([np.concatenate([s.mean(0), s.std(0), s.min(0), s.max(0)]) for s in steps])

    def augmentation(self, spec: S) -> "Callable[[Tensor], Tensor] | None":
        """Return what changes training rows at random in every epoch, if anything does."""
        return None

    @abstractmethod
    def corrupt(self, rows: "Tensor", modality: M, generator: "Generator") -> "Tensor":
        """Return a corrupted copy of every row, of the same shape and type.

        It looks like what a broken sensor or a dark camera sends. The confidences learn from
        such copies which inputs are unlike all training rows.
        """

    def add_noise(
        self, modality: M, rows: NDArray[Any], strength: float, random: np.random.Generator
    ) -> NDArray[Any]:
        """Return rows (n, ...) in which noise has a share, from 0 to 1: standardised numbers by default."""
        noise = random.standard_normal(rows.shape)
        return ((1 - strength) * rows + strength * noise).astype(rows.dtype)

    def corrupt_values(
        self, name: str, modality: M, table: pl.DataFrame, rows: Rows, folder: Path, seed: int
    ) -> NDArray[Any] | None:
        """Return rows made of corrupted raw values, from those at `rows`, in place of `corrupt`.

        None if the kind corrupts arrays.
        """
        return None

    @abstractmethod
    def describe(self, modality: M) -> str:
        """Describe a modality in one line of the report and the model card."""

    def preview(self, modality: M, cells: Mapping[str, Any], row: NDArray[Any]) -> Preview:
        """Return what the report shows of a value: its cells by column, and its array."""
        return preview_cells(cells)

    def card_example(self, modality: M) -> Any:
        """Return a short raw value for the model card."""
        return modality.example()


KINDS: dict[str, Kind[Any, Any]] = {}  # by name


def register(kind: Kind[Any, Any]) -> None:
    """Make a kind known to specs and training. The service's side is registered on its own."""
    KINDS[kind.name] = kind
