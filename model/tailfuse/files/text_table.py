"""Tables in text (.csv, .tsv, .csv.gz): their encoding, separator and header, and whether every line fits.

polars parses them, but it says neither which line is wrong nor that a line was too short. Rows and lines in
messages are counted from 1.
"""

import codecs
import csv
import gzip
import io
import tempfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from tailfuse.errors import TableError
from tailfuse.files.long_cells import long_cells
from tailfuse.files.reading import Reading
from tailfuse.files.records import RecordError, iterate_records
from tailfuse.files.text_lines import BLOCK, NEWLINE, QUOTE, check_lines

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE_RECORDS = 50  # by which the separator is chosen


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table in text, ready to be parsed: UTF-8, with `skip_lines` lines up to the end of the header."""

    path: Path
    separator: str
    header: list[str]
    skip_lines: int
    blank_rows: list[int]  # blank lines as rows from 0: polars takes them for rows of missing values


@contextmanager
def open_text_table(path: Path, reading: Reading) -> Iterator[TextTable]:
    """Find out how a file is parsed, and check each of its lines. Raises TableError."""
    with make_utf8(path, reading) as text, long_cells():
        separator = reading.separator or choose_separator(path, text, reading.usual_separator)
        header, skip_lines = read_header(path, text, separator)
        blank_rows = check_lines(text, separator, len(header), skip_lines)
        if blank_rows is not None:
            yield TextTable(text, separator, header, skip_lines, blank_rows)
            return
        with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
            clean = Path(folder) / "table.csv"
            rewrite_records(path, text, separator, len(header), skip_lines, clean)
            yield TextTable(clean, ",", header, 0, [])


@contextmanager
def make_utf8(path: Path, reading: Reading) -> Iterator[Path]:
    """Yield the file itself if it is plain UTF-8, else a temporary copy that is. Raises TableError.

    The encoding is given, or told by a byte order mark, or UTF-8; of a file that is not UTF-8 it is that of
    the training table. It is never guessed.
    """
    compressed = path.suffix.lower() == ".gz"
    with gzip.open(path) if compressed else path.open("rb") as file:
        start = file.read(1 << 16)
        mark = next((name for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), None)
        name = reading.encoding or mark or "utf-8"
        if name == "utf-8" and reading.usual_encoding is not None and not is_utf8(file):
            name = reading.usual_encoding
        only_returns = b"\r" in start and b"\n" not in start  # a line ends with CR, as on an old Mac
        if not compressed and not only_returns and codecs.lookup(name).name in ("utf-8", "utf-8-sig"):
            if b"\0" in start:
                raise TableError(f"{path}: holds NUL bytes; if the text is UTF-16, write `encoding: utf-16`")
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="tailfuse-") as folder:
            copy = Path(folder) / "table.csv"
            file.seek(0)
            try:
                with io.TextIOWrapper(file, name) as source, copy.open("w", encoding="utf-8") as target:
                    while block := source.read(BLOCK):
                        target.write(block)
            except UnicodeError:
                raise TableError(f"{path}: is not {name} text") from None
            yield copy


def is_utf8(file: IO[bytes] | gzip.GzipFile) -> bool:
    """Return whether a whole file is UTF-8."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def choose_separator(path: Path, text: Path, usual: str | None = None) -> str:
    """Return the separator of most cells: Excel's own `sep=` line, the file's name, or what the lines show.

    If two separators are equally likely, it is the `usual` one. Raises TableError if that is none of them.
    """
    with open_lines(text) as file:
        first = file.readline().rstrip("\r\n")
        if is_separator_line(first):
            return first[4]
        file.seek(0)
        sample = "".join(islice(file, SAMPLE_RECORDS * 4))
    if ".tsv" in [suffix.lower() for suffix in path.suffixes]:
        return "\t"
    widths = {separator: count_cells(sample, separator) for separator in SEPARATORS}
    likely = [separator for separator, width in widths.items() if width > 1]
    if usual in likely:
        return usual
    if len(likely) > 1:
        shown = " and ".join(SEPARATORS[separator] for separator in likely)
        raise TableError(
            f"{path}: {shown} may separate the values; say which, as in `separator: '{likely[0]}'`"
        )
    if likely:
        return likely[0]
    # No separator fits every line. The header decides; checking the lines names the first that does not fit.
    header = sample.lstrip("\r\n").split("\n", 1)[0]
    return max(SEPARATORS, key=header.count)


def count_cells(sample: str, separator: str) -> int:
    """Return how many cells every record of the sample has, 0 if they differ."""
    try:
        rows = csv.reader(io.StringIO(sample), delimiter=separator)
        records = list(islice((row for row in rows if row), SAMPLE_RECORDS))
    except csv.Error:
        return 0
    widths = {len(record) for record in records[: max(1, len(records) - 1)]}  # the last one may be cut
    return widths.pop() if len(widths) == 1 else 0


def is_separator_line(line: str) -> bool:
    """Return whether it is the line `sep=;` that Excel writes, and reads, before the header."""
    return len(line) == 5 and line.lower().startswith("sep=")


def open_lines(text: Path) -> IO[str]:
    """Open UTF-8 text; a byte order mark is skipped, bytes that are not UTF-8 are kept."""
    return text.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def read_header(path: Path, text: Path, separator: str) -> tuple[list[str], int]:
    """Return the names of the columns, and the number of lines up to the end of them. Raises TableError."""
    with open_lines(text) as file:
        skipped = 1 if is_separator_line(file.readline().rstrip("\r\n")) else 0
        if not skipped:
            file.seek(0)
        try:
            line, names = next(
                (each for each in iterate_records(file, separator) if each[1]), (0, list[str]())
            )
        except RecordError as error:
            raise TableError(f"{path}: line {skipped + error.line}: {error.reason}") from None
    header, skip_lines = [name.strip() for name in names], skipped + line
    if not header:
        raise TableError(f"{path}: is empty")
    if any("\udc80" <= character <= "\udcff" for character in "".join(header)):
        raise describe_encoding(path, find_bad_line(text))
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise TableError(f"{path}: line {skip_lines}: column '{twice}' is there twice")
    return header, skip_lines


def iterate_pieces(table: TextTable) -> Iterator[tuple[bytes, list[int]]]:
    """Yield the records in pieces of about BLOCK bytes, each with its blank rows; no record is cut."""
    first, rest = 0, b""
    with table.path.open("rb") as file:
        for _ in range(table.skip_lines):
            file.readline()
        while block := file.read(BLOCK):
            data = rest + block
            codes = np.frombuffer(data, np.uint8)
            outside = np.cumsum(codes == QUOTE, dtype=np.int32) % 2 == 0
            ends = np.flatnonzero((codes == NEWLINE) & outside)
            cut = int(ends[-1]) + 1 if len(ends) else 0
            rest = data[cut:]
            if cut:
                yield data[:cut], find_between(table.blank_rows, first, first + len(ends))
            first += len(ends)
    if rest:
        yield rest, find_between(table.blank_rows, first, first + 1)


def find_between(numbers: Sequence[int], first: int, end: int) -> list[int]:
    """Return those of ascending numbers that are in first..end - 1, counted from `first`."""
    return [number - first for number in numbers[bisect_left(numbers, first) : bisect_left(numbers, end)]]


def rewrite_records(
    path: Path, text: Path, separator: str, width: int, skip_lines: int, target: Path
) -> None:
    """Write a table whose quotes are unusual, as in 7" pipe, so that polars reads it.

    Raises TableError that names a wrong line.
    """
    with (
        open_lines(text) as file,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
    ):
        for _ in range(skip_lines):
            file.readline()
        write = csv.writer(out, quoting=csv.QUOTE_ALL).writerow
        try:
            for line, values in iterate_records(file, separator):
                if len(values) == width:
                    write(values)
                elif values or width == 1:
                    raise TableError(
                        f"{path}: line {skip_lines + line}: {len(values)} values, {width} columns"
                    )
        except RecordError as error:
            raise TableError(f"{path}: line {skip_lines + error.line}: {error.reason}") from None


def describe_encoding(path: Path, line: int | None) -> TableError:
    """Make the error of a file that is not UTF-8."""
    return TableError(
        f"{path}: line {line} is not UTF-8 text; convert it, or say what it is: `encoding: latin-1`"
    )


def find_bad_line(text: Path) -> int | None:
    """Return the first line that is not UTF-8."""
    with text.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return None
