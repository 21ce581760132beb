"""Convert a row of a table, as training reads it, to a sample."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailfuse_client.answers import ModelInfo

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "null", "NULL"))  # spellings that training accepts


def inputs_of_row(row: Mapping[str, Any], model: ModelInfo, folder: Path | str = ".") -> dict[str, Any]:
    """Return the modalities of a row, from the columns that the model was trained on.

    Cells are typed, or strings as in a .csv. Paths are relative to `folder`. Other columns are ignored, and
    columns not in the row are missing.
    """
    cells = {name: None if is_missing(cell) else cell for name, cell in row.items()}
    inputs: dict[str, Any] = {}
    for name, modality in model.modalities.items():
        columns = modality.get("columns", [modality.get("column")])
        if modality["kind"] == "tabular":
            values = {each["name"]: convert_cell(cells.get(each["name"]), each["type"]) for each in columns}
        elif modality["kind"] == "text":
            values = {column: None if cells.get(column) is None else str(cells[column]) for column in columns}
        else:
            values = {column: parse_file_or_list(cells.get(column), Path(folder)) for column in columns}
        if all(value is None for value in values.values()):
            continue
        inputs[name] = values if len(columns) > 1 or modality["kind"] == "tabular" else values[columns[0]]
    return inputs


def is_missing(cell: Any) -> bool:
    """Return whether a cell of a CSV file or data frame is missing."""
    return (isinstance(cell, str) and cell in MISSING) or (isinstance(cell, float) and cell != cell)


def convert_cell(cell: Any, kind: str) -> Any:
    """Convert a cell to its column's type. Invalid cells are unchanged; the service reports them."""
    if kind == "number" and isinstance(cell, str):
        try:
            return float(cell)
        except ValueError:
            return cell
    if kind == "boolean" and cell is not None:
        text = int(cell) if isinstance(cell, float) and cell.is_integer() else cell
        return BOOLEANS.get(str(text).lower(), cell)
    if kind == "category" and isinstance(cell, float) and cell.is_integer():
        return int(cell)  # whole numbers become floats in a table where one is missing
    return cell


def parse_file_or_list(cell: Any, folder: Path) -> Any:
    """Parse a cell of an image or time series: a path, bytes, or a list, also as JSON."""
    if not isinstance(cell, str):
        return cell
    return json.loads(cell) if cell.lstrip().startswith("[") else folder / cell
