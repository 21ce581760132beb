"""Tensors of a tabular modality become the cells of its columns."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tailfuse_service.errors import InvalidInput
from tailfuse_service.modalities.tabular.columns import BooleanColumn, Column, NumberColumn
from tailfuse_service.modalities.tensor import Tensor, decode_text, to_python

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def read_cells(tensor: Tensor, modality: str, columns: Sequence[Column]) -> list[list[Any]]:
    """Return the cells of each column, of a tensor (rows, columns). Raises InvalidInput."""
    width = len(columns)
    if isinstance(tensor.values, np.ndarray):
        return [convert_numbers(to_python(tensor.values[:, at]), column) for at, column in enumerate(columns)]
    return [parse_texts(tensor.values[at::width], column, modality) for at, column in enumerate(columns)]


def convert_numbers(cells: list[Any], column: Column) -> list[Any]:
    """Convert numbers to what a column takes: 0 and 1 to booleans, whole numbers to categories."""
    if isinstance(column, NumberColumn):
        return [int(cell) if isinstance(cell, bool) else cell for cell in cells]
    if isinstance(column, BooleanColumn):
        return [bool(cell) if cell in (0, 1) else cell for cell in cells]
    return [int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in cells]


def parse_texts(cells: Sequence[str | bytes], column: Column, modality: str) -> list[Any]:
    """Parse BYTES as what a column takes: decimal text, true or false, a category. Raises InvalidInput."""
    texts = [decode_text(cell, modality, column.name, row) or None for row, cell in enumerate(cells)]
    if isinstance(column, NumberColumn):
        return [None if text is None else parse_number(text, modality, column.name, row)
                for row, text in enumerate(texts)]  # fmt: skip
    if isinstance(column, BooleanColumn):
        return [None if text is None else BOOLEANS.get(text.lower(), text) for text in texts]
    return list(texts)


def parse_number(text: str, modality: str, column: str, row: int) -> float | None:
    """Parse decimal text; NaN is missing. Raises InvalidInput."""
    try:
        number = float(text) if "_" not in text else None
    except ValueError:
        number = None
    if number is None:
        raise InvalidInput(
            f"row {row}: modality '{modality}', column '{column}': expected a number, not '{text:.40}'",
            row=row, modality=modality, column=column, expected="a number", received=f"{text:.40}",
        )  # fmt: skip
    return None if math.isnan(number) else number
