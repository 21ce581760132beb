"""Tensors become the raw values that POST /predict takes, a dictionary by modality for each row.

A modality is one tensor with its name, or, if it has columns, one for each of them: `clinical.age`. Rows
come first in every shape. NaN and the empty BYTES are a missing value; an input left out is absent in all
rows, and `presence` (rows, modalities) takes away what it is false for.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailfuse_service.bundle.limits import Limits
from tailfuse_service.bundle.manifest import (
    BooleanColumn,
    Column,
    Manifest,
    Modality,
    NumberColumn,
    SeriesModality,
    TabularModality,
    TextModality,
)
from tailfuse_service.errors import (
    BadRequest,
    BatchTooLarge,
    InvalidInput,
    TooDeep,
    UnknownColumn,
    UnknownModality,
)
from tailfuse_service.http.request_body import json_of
from tailfuse_service.oip.tensors import BYTES, Tensor

PRESENCE = "presence"
BOOLEANS = {"true": True, "false": False, "1": True, "0": False}

Rows = list[dict[str, Any]]


def rows_of(tensors: Sequence[Tensor], manifest: Manifest, limits: Limits, max_rows: int) -> Rows:
    """The raw values of each row. Raises InvalidInput or a kind of it, UnknownModality, BatchTooLarge."""
    n_rows = count_of(tensors, max_rows)
    values: dict[str, list[Any]] = {}
    by_column: dict[str, dict[str, list[Any]]] = {}
    presence: NDArray[np.bool_] | None = None
    seen = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise InvalidInput(f"there are two inputs '{tensor.name:.80}'", input=f"{tensor.name:.80}")
        seen.add(tensor.name)
        if tensor.name == PRESENCE:
            presence = presence_of(tensor, manifest)
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
            by_column.setdefault(name, {})[column] = column_of(tensor, name, column, modality)
        else:
            values[name] = whole_of(tensor, modality, limits)
    for name, columns in by_column.items():
        if name in values:
            raise InvalidInput(
                f"modality '{name}' is there as a whole and by columns; send one of them", modality=name
            )
        values[name] = joined(columns)
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


def count_of(tensors: Sequence[Tensor], max_rows: int) -> int:
    """How many rows there are: as many in every tensor. Raises InvalidInput or BatchTooLarge."""
    if not tensors:
        raise InvalidInput("'inputs' is empty", expected="at least one input", received=0)
    n_rows = tensors[0].shape[0]
    for tensor in tensors:
        if tensor.shape[0] != n_rows:
            raise InvalidInput(
                f"input '{tensor.name:.80}' has {tensor.shape[0]} rows, '{tensors[0].name:.80}' {n_rows}",
                input=f"{tensor.name:.80}", expected=n_rows, received=tensor.shape[0],
            )  # fmt: skip
    if not n_rows:
        raise InvalidInput("the inputs have no rows", expected="at least one row", received=0)
    if n_rows > max_rows:
        raise BatchTooLarge(
            f"{n_rows} rows, at most {max_rows} are taken at once", expected=max_rows, received=n_rows
        )
    return n_rows


def presence_of(tensor: Tensor, manifest: Manifest) -> NDArray[np.bool_]:
    """(rows, modalities)"""
    expected = (tensor.shape[0], len(manifest.modalities))
    if tensor.datatype != "BOOL" or tensor.shape != expected or not isinstance(tensor.values, np.ndarray):
        raise InvalidInput(
            f"input '{PRESENCE}': {told(tensor)}, BOOL {list(expected)} expected, a column per modality: "
            f"{', '.join(manifest.modalities)}",
            input=PRESENCE, expected=list(expected), received=list(tensor.shape),
        )  # fmt: skip
    return tensor.values


def whole_of(tensor: Tensor, modality: Modality, limits: Limits) -> list[Any]:
    """The raw values of a modality that is one tensor."""
    if isinstance(modality, TabularModality):
        return table_of(tensor, modality)
    if isinstance(modality, SeriesModality):
        return series_of(tensor, len(modality.channels), limits)
    elements = flat_of(tensor, tensor.name)
    if isinstance(modality, TextModality):
        return [text_of(element, tensor.name, None, row) or None for row, element in enumerate(elements)]
    return [element or None for element in elements]


def flat_of(tensor: Tensor, modality: str) -> list[Any]:
    """BYTES [rows] or [rows, 1]."""
    if tensor.datatype != BYTES or tensor.shape[1:] not in ((), (1,)):
        raise misfit(tensor, modality, "BYTES [rows]")
    return list(tensor.values)


def table_of(tensor: Tensor, modality: TabularModality) -> list[Any]:
    """A list in column order for each row, of (rows, columns)."""
    columns, name = modality.columns, tensor.name
    if tensor.shape[1:] != (len(columns),):
        raise misfit(tensor, name, f"[rows, {len(columns)}], a column for each of the modality's")
    if isinstance(tensor.values, np.ndarray) and all(isinstance(each, NumberColumn) for each in columns):
        return plain(tensor.values)
    by_column = cells_by_column(tensor, name, columns)
    return list(map(list, zip(*by_column, strict=True)))


def cells_by_column(tensor: Tensor, name: str, columns: Sequence[Column]) -> list[list[Any]]:
    """The cells of each column, of a tensor that has as many as there are."""
    width = len(columns)
    if isinstance(tensor.values, np.ndarray):
        return [typed(plain(tensor.values[:, at]), column) for at, column in enumerate(columns)]
    return [parsed(tensor.values[at::width], column, name) for at, column in enumerate(columns)]


def column_of(tensor: Tensor, name: str, column: str, modality: Modality) -> list[Any]:
    """The cells of one column, of (rows,) or (rows, 1)."""
    if tensor.shape[1:] not in ((), (1,)):
        raise misfit(tensor, name, "[rows]")
    if isinstance(modality, TabularModality):
        for each in modality.columns:
            if each.name == column:
                flat = tensor._replace(shape=(tensor.shape[0], 1))
                if isinstance(tensor.values, np.ndarray):
                    flat = flat._replace(values=tensor.values.reshape(flat.shape))
                return cells_by_column(flat, name, [each])[0]
        known = [each.name for each in modality.columns]
    elif isinstance(modality, TextModality) and len(modality.columns) > 1:
        if column in modality.columns:
            elements = flat_of(tensor, name)
            return [text_of(element, name, column, row) or None for row, element in enumerate(elements)]
        known = list(modality.columns)
    else:
        known = []
    raise UnknownColumn(
        f"modality '{name}' has no column '{column:.80}'"
        + ("" if known else f": a modality of kind {modality.kind} is one tensor"),
        modality=name, column=f"{column:.80}", expected=known,
    )  # fmt: skip


def joined(columns: Mapping[str, list[Any]]) -> list[Any]:
    """An object by column for each row; None where all of them are missing."""
    rows = zip(*columns.values(), strict=True)
    return [
        None if all(cell is None for cell in row) else dict(zip(columns, row, strict=True)) for row in rows
    ]


def plain(values: NDArray[Any]) -> list[Any]:
    """Python's numbers, None for NaN."""
    if values.dtype.kind == "f" and (missing := np.isnan(values)).any():
        cells = values.astype(object)
        cells[missing] = None
        return cells.tolist()  # type: ignore[no-any-return]
    return values.tolist()  # type: ignore[no-any-return]


def typed(cells: list[Any], column: Column) -> list[Any]:
    """Numbers of one column as what it takes: 0 and 1 are booleans, whole numbers may be categories."""
    if isinstance(column, NumberColumn):
        return [int(cell) if isinstance(cell, bool) else cell for cell in cells]
    if isinstance(column, BooleanColumn):
        return [bool(cell) if cell in (0, 1) else cell for cell in cells]
    return [int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in cells]


def parsed(cells: Sequence[str | bytes], column: Column, name: str) -> list[Any]:
    """BYTES of one column as what it takes: decimal text, true or false, a category."""
    texts = [text_of(cell, name, column.name, row) or None for row, cell in enumerate(cells)]
    if isinstance(column, NumberColumn):
        return [None if text is None else number_of(text, name, column.name, row)
                for row, text in enumerate(texts)]  # fmt: skip
    if isinstance(column, BooleanColumn):
        return [None if text is None else BOOLEANS.get(text.lower(), text) for text in texts]
    return list(texts)


def number_of(text: str, name: str, column: str, row: int) -> float | None:
    """NaN is missing. Raises InvalidInput."""
    try:
        number = float(text) if "_" not in text else None
    except ValueError:
        number = None
    if number is None:
        raise InvalidInput(
            f"row {row}: modality '{name}', column '{column}': expected a number, not '{text:.40}'",
            row=row, modality=name, column=column, expected="a number", received=f"{text:.40}",
        )  # fmt: skip
    return None if math.isnan(number) else number


def text_of(element: str | bytes, name: str, column: str | None, row: int) -> str:
    """Raises InvalidInput."""
    if isinstance(element, str):
        return element
    try:
        return element.decode()
    except UnicodeDecodeError:
        where = f"row {row}: modality '{name}'" + ("" if column is None else f", column '{column}'")
        raise InvalidInput(
            f"{where}: the bytes are not UTF-8 text",
            row=row, modality=name, **({} if column is None else {"column": column}), expected="UTF-8 text",
        ) from None  # fmt: skip


def series_of(tensor: Tensor, n_channels: int, limits: Limits) -> list[Any]:
    """(time, channels) for each row, of (rows, time, channels); NaN at the end pads the shorter ones.

    BYTES are files, or JSON: what POST /predict takes.
    """
    if not isinstance(tensor.values, np.ndarray):
        elements = flat_of(tensor, tensor.name)
        return [file_or_json(element, tensor.name, row, limits) for row, element in enumerate(elements)]
    values = tensor.values[..., None] if len(tensor.shape) == 2 and n_channels == 1 else tensor.values
    if values.ndim != 3 or values.shape[2] != n_channels or values.dtype.kind == "b":
        raise misfit(tensor, tensor.name, f"FP32 [rows, time, {n_channels}]")
    if not values.size:
        return [None] * len(values)
    if values.dtype.kind != "f":
        return list(values)
    known = ~np.isnan(values).all(axis=2)  # (rows, time)
    n_steps = (known.shape[1] - known[:, ::-1].argmax(axis=1)) * known.any(axis=1)
    return [row[:n] if n else None for row, n in zip(values, n_steps.tolist(), strict=True)]


def file_or_json(element: str | bytes, name: str, row: int, limits: Limits) -> Any:
    """One series. Raises InvalidInput."""
    if not element:
        return None
    if element[:1] not in ("[", "{", b"[", b"{"):
        return element
    try:
        data = element.encode() if isinstance(element, str) else element
        return json_of(data, f"row {row}: modality '{name}'", limits)
    except (BadRequest, TooDeep) as error:
        raise InvalidInput(error.detail, row=row, modality=name, expected="JSON") from None


def told(tensor: Tensor) -> str:
    return f"{tensor.datatype} {list(tensor.shape)}"


def misfit(tensor: Tensor, modality: str, expected: str) -> InvalidInput:
    """The error of a tensor with the wrong datatype or shape."""
    return InvalidInput(
        f"input '{tensor.name:.80}': {told(tensor)}, {expected} expected",
        input=f"{tensor.name:.80}", modality=modality, expected=expected, received=told(tensor),
    )  # fmt: skip
