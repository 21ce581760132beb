"""Tables whose files have types: .parquet, .feather, .arrow, .jsonl, .xlsx, .tar, and folders of images."""

import json
import re
from pathlib import Path
from typing import NoReturn

import polars as pl

from tailfuse.errors import TableError
from tailfuse.files.sources import scan_images
from tailfuse.files.webdataset import read_tar

JSON_ENDINGS = (".jsonl", ".ndjson")
NUMBERED = re.compile(r"(.*)_\d+", re.DOTALL)  # as the second of two columns of one name is renamed


def scan_typed(path: Path) -> pl.LazyFrame:
    """Return a table whose file has types, or that of a folder of images. Raises TableError."""
    if path.is_dir():
        return scan_images(path).lazy()
    ending = path.suffix.lower()
    if ending == ".parquet":
        return pl.scan_parquet(path, glob=False)
    if ending in (".feather", ".arrow"):
        return pl.scan_ipc(path)
    if ending in JSON_ENDINGS:
        return pl.scan_ndjson(path, infer_schema_length=None)
    if ending == ".tar":
        return read_tar(path).lazy()
    return read_workbook(path).lazy()


def read_workbook(path: Path) -> pl.DataFrame:
    """Return the first sheet of an .xlsx file. Raises TableError."""
    from fastexcel import FastExcelError  # which polars loads no sooner

    try:
        table = pl.read_excel(path, engine="calamine", infer_schema_length=None, drop_empty_rows=False)
        if any((match := NUMBERED.fullmatch(name)) and match[1] in table.columns for name in table.columns):
            check_header(path)
    except FastExcelError as error:
        raise make_read_error(path, error) from None
    names = [name.strip() for name in table.columns]
    check_names(path, names)
    table.columns = names
    used = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    return table.head(len(used) - int(used.reverse().arg_max() or 0))  # formatted cells may follow


def check_header(path: Path) -> None:
    """Read the first row of an .xlsx file alone, for names that are there twice. Raises TableError."""
    row = pl.read_excel(path, engine="calamine", has_header=False, read_options={"n_rows": 1}).row(0)
    check_names(path, [str(name).strip() for name in row if name is not None])


def check_names(path: Path, names: list[str]) -> None:
    """Raises TableError if two columns of an .xlsx file have one name."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TableError(f"{path}: row 1: column '{twice}' is there twice")


def make_read_error(path: Path, error: Exception) -> TableError:
    """Make the error of a file that cannot be read; of JSON it names the first line that is wrong."""
    reason = find_bad_json(path) if path.suffix.lower() in JSON_ENDINGS else None
    said = (str(error) or "not a table").splitlines()[0]
    return TableError(f"{path}: {reason or f'cannot be read: {said}'}")


def find_bad_json(path: Path) -> str | None:
    """Return the first line of a .jsonl file that is no JSON object, and why; None if each is one."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                if line.strip() and not isinstance(json.loads(line.decode(), parse_constant=refuse), dict):
                    return f"line {number}: expected a JSON object, not {line.decode().strip():.40}"
            except UnicodeDecodeError:
                return f"line {number} is not UTF-8 text"
            except (ValueError, RecursionError) as error:
                if line.startswith(b"\xef\xbb\xbf"):
                    return f"line {number} begins with a byte order mark; save the file as UTF-8 without one"
                return f"line {number} is not JSON: {getattr(error, 'msg', error)}"
    return None


def refuse(constant: str) -> NoReturn:
    """Raises ValueError: Python's json module writes NaN and Infinity, which are not JSON."""
    raise ValueError(f"write null in place of {constant}")
