"""Parse the protocol's tensors, and encode BYTES. Sizes are checked before values are read."""

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.errors import ClientError, InvalidInput
from tailfuse_service.modalities.json_text import json_type
from tailfuse_service.modalities.tensor import BYTES, Tensor

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{f"{sign}INT{bits}": np.dtype(f"<{kind}{bits // 8}")
       for sign, kind in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}  # fmt: skip
# The Python types of JSON values by the kind of a dtype. null is a missing number.
IN_JSON: dict[str, frozenset[type]] = {
    "b": frozenset((bool,)),
    "i": frozenset((int,)),
    "u": frozenset((int,)),
    "f": frozenset((int, float, type(None))),
}
LENGTH = struct.Struct("<I")  # precedes each element of BYTES
MAX_DIMENSIONS = 8
MAX_ELEMENTS = 2**40  # independent of the limit on bodies


class TensorSpec(NamedTuple):
    """A tensor before its values are read."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def invalid(self, what: str, kind: type[ClientError] = InvalidInput, **members: Any) -> ClientError:
        """Make an error that names this tensor."""
        return kind(f"input '{self.name:.80}': {what}", input=f"{self.name:.80}", **members)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def make_spec(name: Any, datatype: Any, shape: Any) -> TensorSpec:
    """Check name, datatype and shape. Raises InvalidInput."""
    if not isinstance(name, str):
        raise InvalidInput(f"the name of an input must be a string, not {json_type(name)}", expected="a name")
    tensor = TensorSpec(name, datatype, shape)
    if datatype != BYTES and (not isinstance(datatype, str) or datatype not in DTYPES):
        raise tensor.invalid(
            f"the datatype is {datatype!r:.40}; {', '.join((*DTYPES, BYTES))} are supported",
            expected=[*DTYPES, BYTES], received=f"{datatype!r:.40}",
        )  # fmt: skip
    fits = isinstance(shape, Sequence) and not isinstance(shape, str)
    if not fits or not 0 < len(shape) <= MAX_DIMENSIONS or not all(map(is_dimension, shape)):
        raise tensor.invalid(
            f"the shape is {shape!r:.80}; 1 to {MAX_DIMENSIONS} whole numbers from 0 were expected",
            expected="a shape", received=f"{shape!r:.80}",
        )  # fmt: skip
    if math.prod(max(each, 1) for each in shape) > MAX_ELEMENTS:  # numpy's own limit holds for empty ones too
        raise tensor.invalid(
            f"the shape {list(shape)} has more than {MAX_ELEMENTS:,} elements", expected=MAX_ELEMENTS
        )
    return TensorSpec(name, datatype, tuple(shape))


def is_dimension(value: Any) -> bool:
    """Return whether a value can be a dimension: a whole number from 0."""
    return type(value) is int and 0 <= value < 2**63


def parse_binary(tensor: TensorSpec, data: memoryview) -> Tensor:
    """Parse values in the protocol's binary extension. Raises InvalidInput."""
    name, datatype, shape = tensor
    if datatype == BYTES:
        return Tensor(name, datatype, shape, split_elements(tensor, data))
    dtype = DTYPES[datatype]
    expected = tensor.size * dtype.itemsize
    if len(data) != expected:
        raise tensor.invalid(
            f"{len(data)} bytes, {expected} expected of {datatype} {list(shape)}",
            expected=expected, received=len(data),
        )  # fmt: skip
    if dtype.kind == "b" and len(data) and max(data) > 1:
        raise tensor.invalid(
            f"a BOOL must be a byte 0 or 1, not {max(data)}", expected="0 or 1", received=max(data)
        )
    return Tensor(name, datatype, shape, np.frombuffer(data, dtype).reshape(shape))


def split_elements(tensor: TensorSpec, data: memoryview) -> list[bytes]:
    """Split BYTES: each element follows its length, four bytes, little-endian. Raises InvalidInput."""
    elements: list[bytes] = []
    size, at, end = tensor.size, 0, len(data)
    if size * LENGTH.size > end:
        raise tensor.invalid(
            f"{end} bytes, at least {size * LENGTH.size} expected of {size} elements",
            expected=size,
            received=end,
        )
    for number in range(size):
        start = at + LENGTH.size
        if start > end or (at := start + LENGTH.unpack_from(data, start - LENGTH.size)[0]) > end:
            raise tensor.invalid(
                f"element {number} ends at byte {at}, but there are {end} bytes", expected=end, received=at
            )
        elements.append(bytes(data[start:at]))
    if at != end:
        raise tensor.invalid(
            f"{end} bytes, {at} expected by the lengths of its {size} elements", expected=at, received=end
        )  # fmt: skip
    return elements


def parse_json_data(tensor: TensorSpec, data: Any) -> Tensor:
    """Parse `data`: a list, flat or nested as the shape is. Raises InvalidInput."""
    name, datatype, shape = tensor
    if not isinstance(data, list):
        raise tensor.invalid(f"'data' must be an array, not {json_type(data)}", expected="an array")
    flat = flatten(tensor, data)
    if len(flat) != tensor.size:
        raise tensor.invalid(
            f"{len(flat)} values, {tensor.size} expected of {list(shape)}",
            expected=tensor.size, received=len(flat),
        )  # fmt: skip
    if datatype == BYTES:
        if not all(type(value) is str or value is None for value in flat):
            raise tensor.invalid("BYTES must be strings in JSON", expected="strings")
        return Tensor(name, datatype, shape, ["" if value is None else value for value in flat])
    return Tensor(name, datatype, shape, parse_numbers(tensor, flat).reshape(shape))


def flatten(tensor: TensorSpec, data: list[Any]) -> list[Any]:
    """Return the values in row-major order. Raises InvalidInput."""
    flat, shape = data, tensor.shape
    for depth in range(1, len(shape)):
        if not flat or type(flat[0]) is not list:
            break
        lengths = {len(part) if type(part) is list else -1 for part in flat}
        if lengths != {shape[depth]}:
            raise tensor.invalid(
                f"'data' must be flat or nested as the shape {list(shape)}", expected=list(shape)
            )
        flat = list(chain.from_iterable(flat))
    return flat


def parse_numbers(tensor: TensorSpec, values: Sequence[Any]) -> NDArray[Any]:
    """Parse numbers of JSON as an array (n,); null becomes NaN. Raises InvalidInput."""
    dtype = DTYPES[tensor.datatype]
    if not IN_JSON[dtype.kind].issuperset(map(type, values)):
        wrong = next(value for value in values if type(value) not in IN_JSON[dtype.kind])
        raise tensor.invalid(
            f"a value is {wrong!r:.40}; {tensor.datatype} was expected",
            expected=tensor.datatype, received=f"{wrong!r:.40}",
        )  # fmt: skip
    try:
        with np.errstate(over="ignore"):  # what is too large is infinite, and refused by its column
            return np.array(values, dtype)
    except OverflowError:
        raise tensor.invalid(
            f"a value does not fit into {tensor.datatype}", expected=tensor.datatype
        ) from None


def encode_bytes(strings: Sequence[str]) -> bytes:
    """Encode strings as BYTES, each after its length."""
    encoded = [string.encode() for string in strings]
    return b"".join(chain.from_iterable((LENGTH.pack(len(each)), each) for each in encoded))
