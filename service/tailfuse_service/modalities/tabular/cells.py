"""Tensors of a tabular modality become the cells of its columns; its features read them as any other cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tailfuse_service.modalities.tabular.columns import Column
from tailfuse_service.modalities.tensor import Tensor, decode_text, to_python, to_shortest_floats


def read_cells(tensor: Tensor, modality: str, columns: Sequence[Column]) -> list[list[Any]]:
    """Return the cells of each column, of a tensor (rows, columns). Raises InvalidInput."""
    if isinstance(tensor.values, np.ndarray):
        # A category is found by what its number spells.
        cells = (
            to_shortest_floats(tensor.values[:, at]) if column.type == "category" else tensor.values[:, at]
            for at, column in enumerate(columns)
        )
        return [to_python(each) for each in cells]
    return [
        [
            decode_text(cell, modality, column.name, row)
            for row, cell in enumerate(tensor.values[at :: len(columns)])
        ]
        for at, column in enumerate(columns)
    ]
