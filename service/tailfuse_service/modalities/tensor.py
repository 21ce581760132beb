"""One input tensor of the Open Inference Protocol, and what reading any kind's tensor needs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.errors import InvalidInput
from tailfuse_service.modalities.json_text import BOM

BYTES = "BYTES"
ANY = -1  # a dimension that the client chooses


class Tensor(NamedTuple):
    """One input. `values` has the shape, or is a list of the elements in row-major order if they are BYTES.

    Elements are `str` if they came as JSON, `bytes` otherwise.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | list[Any]


class TensorForm(NamedTuple):
    """The tensor that a modality takes: its datatype, its shape after the rows, and its columns if named."""

    datatype: str
    shape: tuple[int, ...] = ()
    columns: Sequence[str] | None = None


def read_elements(tensor: Tensor, modality: str) -> list[Any]:
    """Return the elements of BYTES [rows] or [rows, 1]. Raises InvalidInput."""
    if tensor.datatype != BYTES or tensor.shape[1:] not in ((), (1,)):
        raise make_shape_error(tensor, modality, "BYTES [rows]")
    return list(tensor.values)


def to_python(values: NDArray[Any]) -> list[Any]:
    """Convert to Python's numbers, NaN to None."""
    if values.dtype.kind == "f" and (missing := np.isnan(values)).any():
        cells = values.astype(object)
        cells[missing] = None
        return cells.tolist()  # type: ignore[no-any-return]
    return values.tolist()  # type: ignore[no-any-return]


def to_shortest_floats(values: NDArray[Any]) -> NDArray[Any]:
    """Return float16 and float32 as the float64 of fewest digits: 0.1, not 0.10000000149.

    Whole numbers, and other types, are unchanged.
    """
    if values.dtype.kind != "f" or values.dtype.itemsize == 8:
        return values
    return np.where(values == np.rint(values), values, values.astype(str).astype(np.float64))


def decode_text(element: str | bytes, modality: str, column: str | None, row: int) -> str:
    """Decode one element of BYTES as UTF-8. Raises InvalidInput."""
    if isinstance(element, str):
        return element
    try:
        return element.decode().removeprefix(BOM)
    except UnicodeDecodeError:
        where = f"row {row}: modality '{modality}'" + ("" if column is None else f", column '{column}'")
        raise InvalidInput(
            f"{where}: the bytes are not UTF-8 text",
            row=row, modality=modality, **({} if column is None else {"column": column}),
            expected="UTF-8 text",
        ) from None  # fmt: skip


def describe_tensor(tensor: Tensor) -> str:
    """Return the datatype and shape, as in `FP32 [2, 7]`."""
    return f"{tensor.datatype} {list(tensor.shape)}"


def make_shape_error(tensor: Tensor, modality: str, expected: str) -> InvalidInput:
    """Make the error of a tensor with the wrong datatype or shape."""
    received = describe_tensor(tensor)
    return InvalidInput(
        f"input '{tensor.name:.80}': {received}, {expected} expected",
        input=f"{tensor.name:.80}", modality=modality, expected=expected, received=received,
    )  # fmt: skip
