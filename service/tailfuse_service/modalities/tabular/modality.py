"""The tabular kind: numbers, booleans and categories."""

from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from tailfuse_service.modalities.limits import DEFAULT_LIMITS, Limits
from tailfuse_service.modalities.modality import MAX_INPUTS, Modality, Summary, SummaryValues
from tailfuse_service.modalities.tabular.cells import read_cells
from tailfuse_service.modalities.tabular.columns import (
    BooleanColumn,
    CategoryColumn,
    Column,
    NumberColumn,
    column_schema,
    count_slots,
    example_cell,
)
from tailfuse_service.modalities.tabular.features import TabularFeatures
from tailfuse_service.modalities.tensor import BYTES, Tensor, TensorForm, make_shape_error, to_python


class TabularModality(Modality):
    """float32 rows of `width`: the slots of each column, in order."""

    part: ClassVar[Literal["JSON"]] = "JSON"
    part_description: ClassVar[str] = "JSON: an object by column, or an array in column order."
    media_type: ClassVar[str] = "application/json"

    kind: Literal["tabular"] = "tabular"
    columns: tuple[Column, ...]
    width: int
    missing: tuple[str, ...] | None = None  # texts that are no value; older bundles do not say
    unreadable: Literal["stop", "missing"] = "stop"  # what a cell is that its column cannot take

    @model_validator(mode="after")
    def _every_slot_is_counted(self) -> Self:
        slots = sum(count_slots(column) for column in self.columns)
        if self.width != slots:
            raise ValueError(f"width is {self.width:,}, but the columns take {slots:,} slots")
        return self

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def max_row_bytes(self) -> int:
        return max(super().max_row_bytes, 4 * self.width)

    def features(self, name: str, limits: Limits = DEFAULT_LIMITS) -> TabularFeatures:
        return TabularFeatures(
            name, columns=self.columns, width=self.width, missing=self.missing or (),
            unreadable=self.unreadable, limits=limits,
        )  # fmt: skip

    def input_schema(self) -> dict[str, Any]:
        n_columns = len(self.columns)
        by_column = {
            "type": "object",
            "properties": {column.name: column_schema(column) for column in self.columns},
            "additionalProperties": False,
        }
        cell = {"type": ["number", "string", "boolean", "null"]}
        in_order = {"type": "array", "items": cell, "minItems": n_columns, "maxItems": n_columns}
        return {
            "description": "One row: an object by column (a column left out is missing), "
            "or an array with every column in this order.",
            "anyOf": [by_column, in_order, {"type": "null"}],
        }

    def example(self) -> dict[str, Any]:
        return {column.name: example_cell(column) for column in self.columns}

    def tensor_form(self) -> TensorForm:
        all_numbers = all(isinstance(column, NumberColumn) for column in self.columns)
        return TensorForm("FP32" if all_numbers else BYTES, (len(self.columns),), self.column_names)

    def read_tensor(self, tensor: Tensor, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
        """Return a list in column order for each row, of a tensor (rows, columns)."""
        columns = self.columns
        if tensor.shape[1:] != (len(columns),):
            expected = f"[rows, {len(columns)}], a column for each of the modality's"
            raise make_shape_error(tensor, tensor.name, expected)
        if isinstance(tensor.values, np.ndarray) and all(isinstance(each, NumberColumn) for each in columns):
            return to_python(tensor.values)
        return list(map(list, zip(*read_cells(tensor, tensor.name, columns), strict=True)))

    def read_column(self, tensor: Tensor, name: str, column: str) -> list[Any]:
        for each in self.columns:
            if each.name == column:
                flat = tensor._replace(shape=(tensor.shape[0], 1))
                if isinstance(tensor.values, np.ndarray):
                    flat = flat._replace(values=tensor.values.reshape(flat.shape))
                return read_cells(flat, name, [each])[0]
        raise self.unknown_column(name, column, self.column_names)

    def summary(self) -> Summary:
        """Each column: a number standardised, a boolean as -1 or 1, a category by its position.

        The last input is the root mean square of a row's numbers: noise may look normal in every single
        column, but not in all of them together.
        """
        columns = self.columns[:MAX_INPUTS]
        slots = [count_slots(column) for column in columns]
        starts = [sum(slots[:at]) for at in range(len(slots))]
        booleans = [at for at, column in enumerate(columns) if isinstance(column, BooleanColumn)]
        indicators = [
            (at, starts[at] + 1)
            for at, column in enumerate(columns)
            if isinstance(column, NumberColumn) and column.indicator
        ]
        categories = [
            (at, slice(starts[at], starts[at] + slots[at]))
            for at, column in enumerate(columns)
            if isinstance(column, CategoryColumn)
        ]
        numbers = [starts[at] for at, column in enumerate(columns) if isinstance(column, NumberColumn)]
        first = np.minimum(starts, max(self.width - 1, 0))  # a column without categories has no slot

        def compute(rows: NDArray[Any]) -> SummaryValues:
            values = rows[:, first]
            for at in booleans:
                values[values[:, at] == 0, at] = np.nan
            for at, indicator in indicators:
                values[rows[:, indicator] != 0, at] = np.nan
            for at, span in categories:
                one_hot = rows[:, span]
                values[:, at] = (
                    np.where(one_hot.any(1), one_hot.argmax(1), np.nan) if one_hot.size else np.nan
                )
            if len(numbers) < 2:
                return values
            all_numbers = np.sqrt(np.square(rows[:, numbers].clip(-1e9, 1e9)).mean(1, keepdims=True))
            return np.concatenate([values, all_numbers], axis=1)

        names = [column.name for column in columns]
        return Summary(names if len(numbers) < 2 else [*names, "all numbers"], compute)
