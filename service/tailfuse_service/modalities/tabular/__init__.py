"""The tabular kind."""

from tailfuse_service.modalities.tabular.columns import (
    BooleanColumn,
    CategoryColumn,
    Column,
    NumberColumn,
    count_slots,
    example_cell,
    standardise,
)
from tailfuse_service.modalities.tabular.modality import TabularModality

__all__ = [
    "BooleanColumn",
    "CategoryColumn",
    "Column",
    "NumberColumn",
    "TabularModality",
    "count_slots",
    "example_cell",
    "standardise",
]
