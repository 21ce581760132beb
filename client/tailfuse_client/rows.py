"""A table's row, as training reads it, becomes a sample."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailfuse_client.answers import ModelInfo

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "null", "NULL"))  # as a table of training may spell it


def inputs_of_row(row: Mapping[str, Any], model: ModelInfo, folder: Path | str = ".") -> dict[str, Any]:
    """The modalities of a row by the columns that the model was trained on; others are left alone.

    Cells may be typed, or strings as a .csv has them. Paths are relative to `folder`. A column that is not
    there is missing.
    """
    cells = {name: None if is_missing(cell) else cell for name, cell in row.items()}
    inputs: dict[str, Any] = {}
    for name, modality in model.modalities.items():
        columns = modality.get("columns", [modality.get("column")])
        if modality["kind"] == "tabular":
            given = {each["name"]: typed(cells.get(each["name"]), each["type"]) for each in columns}
        elif modality["kind"] == "text":
            given = {column: None if cells.get(column) is None else str(cells[column]) for column in columns}
        else:
            given = {column: file_or_list(cells.get(column), Path(folder)) for column in columns}
        if all(value is None for value in given.values()):
            continue
        inputs[name] = given if len(columns) > 1 or modality["kind"] == "tabular" else given[columns[0]]
    return inputs


def is_missing(cell: Any) -> bool:
    """Whether a cell of CSV or of a data frame says nothing."""
    return (isinstance(cell, str) and cell in MISSING) or (isinstance(cell, float) and cell != cell)


def typed(cell: Any, kind: str) -> Any:
    """A cell as its column wants it. What is not understood stays: the service says what is wrong with it."""
    if kind == "number" and isinstance(cell, str):
        try:
            return float(cell)
        except ValueError:
            return cell
    if kind == "boolean" and cell is not None:
        spelt = int(cell) if isinstance(cell, float) and cell.is_integer() else cell
        return BOOLEANS.get(str(spelt).lower(), cell)
    if kind == "category" and isinstance(cell, float) and cell.is_integer():
        return int(cell)  # whole numbers become floats in a table where one is missing
    return cell


def file_or_list(cell: Any, folder: Path) -> Any:
    """A path of a picture or series; or its bytes, or a list, also as JSON."""
    if not isinstance(cell, str):
        return cell
    return json.loads(cell) if cell.lstrip().startswith("[") else folder / cell
