"""Tensors become the raw values that POST /predict takes, a dictionary by modality for each row.

A modality is one tensor with its name, or, if it has columns, one for each of them: `clinical.age`. Rows
are the first dimension of every shape. NaN and empty BYTES are missing values. An input that is not sent is
absent in all rows; so is, in its row, a modality whose `presence` (rows, modalities) is false.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle import Manifest
from tailfuse_service.errors import BatchTooLarge, InvalidInput, UnknownModality
from tailfuse_service.modalities.limits import Limits
from tailfuse_service.modalities.tensor import Tensor, describe_tensor, make_shape_error

PRESENCE = "presence"

Rows = list[dict[str, Any]]


def make_rows(tensors: Sequence[Tensor], manifest: Manifest, limits: Limits, max_rows: int) -> Rows:
    """Return the raw values of each row. Raises InvalidInput, UnknownModality, BatchTooLarge."""
    n_rows = count_rows(tensors, max_rows)
    values: dict[str, list[Any]] = {}
    by_column: dict[str, dict[str, list[Any]]] = {}
    presence: NDArray[np.bool_] | None = None
    seen = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise InvalidInput(
                f"the input '{tensor.name:.80}' is there twice; send it once", input=f"{tensor.name:.80}"
            )
        seen.add(tensor.name)
        if tensor.name == PRESENCE:
            presence = read_presence(tensor, manifest)
            continue
        name, dot, column = tensor.name.partition(".")
        modality = manifest.modalities.get(name)
        if modality is None:
            known = [*manifest.modalities, PRESENCE]
            raise UnknownModality(
                f"input '{tensor.name:.80}': this model has no such modality; it has {', '.join(known)}",
                modality=f"{name:.80}", expected=known,
            )  # fmt: skip
        if dot:
            if tensor.shape[1:] not in ((), (1,)):
                raise make_shape_error(tensor, name, "[rows]")
            by_column.setdefault(name, {})[column] = modality.read_column(tensor, name, column)
        else:
            values[name] = modality.read_tensor(tensor, limits)
    for name, columns in by_column.items():
        if name in values:
            raise InvalidInput(
                f"modality '{name}' is sent both as one tensor and by columns; send one of them",
                modality=name,
            )
        values[name] = join_columns(columns)
    if presence is not None:
        for at, name in enumerate(manifest.modalities):
            if name in values:
                there = presence[:, at].tolist()
                values[name] = [
                    value if is_there else None for value, is_there in zip(values[name], there, strict=True)
                ]
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)] or [
        {} for _ in range(n_rows)
    ]


def count_rows(tensors: Sequence[Tensor], max_rows: int) -> int:
    """Return the number of rows, the same in every tensor. Raises InvalidInput, BatchTooLarge."""
    if not tensors:
        raise InvalidInput("'inputs' is empty", expected="at least one input", received=0)
    n_rows = tensors[0].shape[0]
    for tensor in tensors:
        if tensor.shape[0] != n_rows:
            raise InvalidInput(
                f"input '{tensor.name:.80}' has {tensor.shape[0]} rows, {n_rows} expected as in "
                f"'{tensors[0].name:.80}'",
                input=f"{tensor.name:.80}", expected=n_rows, received=tensor.shape[0],
            )  # fmt: skip
    if not n_rows:
        raise InvalidInput("the inputs have no rows", expected="at least one row", received=0)
    if n_rows > max_rows:
        raise BatchTooLarge(
            f"{n_rows} rows, at most {max_rows} are accepted in one request",
            expected=max_rows,
            received=n_rows,
        )
    return n_rows


def read_presence(tensor: Tensor, manifest: Manifest) -> NDArray[np.bool_]:
    """Return `presence` of shape (rows, modalities). Raises InvalidInput."""
    expected = (tensor.shape[0], len(manifest.modalities))
    if tensor.datatype != "BOOL" or tensor.shape != expected or not isinstance(tensor.values, np.ndarray):
        raise InvalidInput(
            f"input '{PRESENCE}': {describe_tensor(tensor)}, BOOL {list(expected)} expected, "
            f"a column per modality: {', '.join(manifest.modalities)}",
            input=PRESENCE, expected=list(expected), received=list(tensor.shape),
        )  # fmt: skip
    return tensor.values


def join_columns(columns: Mapping[str, list[Any]]) -> list[Any]:
    """Return an object by column for each row, None where every cell is missing."""
    rows = zip(*columns.values(), strict=True)
    return [
        None if all(cell is None for cell in row) else dict(zip(columns, row, strict=True)) for row in rows
    ]
