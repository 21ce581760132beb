"""Tensors of a tabular modality become the cells of its columns; its features read them as any other cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tailfuse_service.modalities.tabular.columns import Column
from tailfuse_service.modalities.tensor import Tensor, decode_text, to_python


def read_cells(tensor: Tensor, modality: str, columns: Sequence[Column]) -> list[list[Any]]:
    """Return the cells of each column, of a tensor (rows, columns). Raises InvalidInput."""
    if isinstance(tensor.values, np.ndarray):
        return [to_python(tensor.values[:, at]) for at in range(len(columns))]
    return [
        [
            decode_text(cell, modality, column.name, row)
            for row, cell in enumerate(tensor.values[at :: len(columns)])
        ]
        for at, column in enumerate(columns)
    ]
