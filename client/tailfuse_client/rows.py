"""Convert a row of a table, as training reads it, to a sample."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tailfuse_client.answers import ModelInfo
from tailfuse_client.values import Text

MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "null", "NULL"))  # where the model has no list of its own


def inputs_of_row(row: Mapping[str, Any], model: ModelInfo, folder: Path | str = ".") -> dict[str, Any]:
    """Return the modalities of a row, from the columns that the model was trained on.

    Cells are typed, or strings as in a .csv; the service parses them by the column's type. Paths are relative
    to `folder`. Other columns are ignored, and columns not in the row are missing.
    """
    missing = find_missing(model)
    inputs: dict[str, Any] = {}
    for name, modality in model.modalities.items():
        columns = modality.get("columns", [modality.get("column")])
        if modality["kind"] == "tabular":
            values = {}
            for each in columns:
                known = each.get("categories", ())
                values[each["name"]] = drop_missing(row.get(each["name"]), missing.difference(known))
        else:
            cells = {column: drop_missing(row.get(column), missing) for column in columns}
            if modality["kind"] == "text":
                values = {column: None if cell is None else Text(cell) for column, cell in cells.items()}
            else:
                values = {column: parse_file_or_list(cell, Path(folder)) for column, cell in cells.items()}
        if all(value is None for value in values.values()):
            continue
        inputs[name] = values if len(columns) > 1 or modality["kind"] == "tabular" else values[columns[0]]
    return inputs


def find_missing(model: ModelInfo) -> frozenset[str]:
    """Return the texts that are missing values: those that a modality lists, or the usual ones."""
    listed = [each["missing"] for each in model.modalities.values() if each.get("missing") is not None]
    return frozenset(("", *listed[0])) if listed else MISSING


def drop_missing(cell: Any, missing: frozenset[str]) -> Any:
    """Return a cell of a CSV file or data frame, None if it is missing."""
    is_missing = (
        cell.strip() in missing if isinstance(cell, str) else isinstance(cell, float) and cell != cell
    )
    return None if is_missing else cell


def parse_file_or_list(cell: Any, folder: Path) -> Any:
    """Parse a cell of an image or time series: a path, bytes, or a list, also as JSON."""
    if not isinstance(cell, str):
        return cell
    return json.loads(cell) if cell.lstrip().startswith("[") else folder / cell
