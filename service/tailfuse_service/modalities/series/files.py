"""The bytes of a file become the values of a series: .npy, .wav, .csv or JSON, recognised by how they begin.

Nothing is unpickled, and a header that promises more bytes than there are is refused.
"""

import csv
import io
import json
import struct
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILES = "a .npy, .wav, .csv or JSON file"
NPY, RIFF = b"\x93NUMPY", b"RIFF"
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
BOM = b"\xef\xbb\xbf"
# Peak bytes of memory for each byte of a file, as measured: tests/service/test_decode_cost_series.py
NPY_FACTOR, WAV_FACTOR, CSV_FACTOR, JSON_FACTOR = 20, 20, 30, 34
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "<na>", "#n/a"})  # in small letters


def read_file(data: bytes) -> Any:
    """Read an array, or the value of a JSON file. Raises ValueError, which says what is wrong."""
    if data.startswith(NPY):
        return read_npy(data)
    if data.startswith(RIFF):
        return read_wav(data)
    if not is_json(data):
        return read_csv(data)
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"the bytes are not {FILES}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the text is not JSON: {error}") from None


def is_json(data: bytes) -> bool:
    """Return whether the bytes begin as a JSON array or object."""
    return data[:80].removeprefix(BOM).lstrip()[:1] in (b"[", b"{")


def estimate_decode_bytes(data: bytes) -> int:
    """Estimate how many bytes of memory reading a file takes at most; the kinds of numbers decide."""
    if data.startswith(NPY):
        return NPY_FACTOR * len(data)
    if data.startswith(RIFF):
        return WAV_FACTOR * len(data)
    return (JSON_FACTOR if is_json(data) else CSV_FACTOR) * len(data)


def read_npy(data: bytes) -> NDArray[Any]:
    """Read an array of real numbers. Raises ValueError."""
    file = io.BytesIO(data)
    try:
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[np.lib.format.read_magic(file)]
        shape, fortran, dtype = read_header(file)
    except Exception:  # it evaluates a Python literal, which can fail in many ways
        raise ValueError("the .npy file has a header that cannot be read") from None
    if dtype.kind not in "biuf":
        raise ValueError(f"the .npy file holds {dtype.name}; numbers are taken")
    if not all(type(length) is int for length in shape):  # numpy takes True for a length
        raise ValueError("the .npy file has a header that cannot be read")
    size = int(np.prod(shape, dtype=object))
    if min(shape, default=0) < 0 or size * dtype.itemsize != len(data) - file.tell():
        raise ValueError("the .npy file is not as long as its header says")
    return np.frombuffer(data, dtype, size, file.tell()).reshape(shape, order="F" if fortran else "C")


def read_wav(data: bytes) -> NDArray[np.float64]:
    """Read samples in -1..1, (time, channels): PCM of 8 to 32 bits, or floats. Raises ValueError.

    The standard library's `wave` reads no floats and, before Python 3.12, no extended headers.
    """
    layout, samples = b"", None
    at = 12
    while samples is None and at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        chunk = data[at + 8 : at + 8 + size]  # a truncated recording has fewer bytes
        if name == b"fmt ":
            layout = chunk
        elif name == b"data":
            samples = chunk
        at += 8 + size + size % 2
    if data[8:12] != b"WAVE" or len(layout) < 16 or samples is None:
        raise ValueError("the .wav file has a header that cannot be read")
    encoding, channels, _, _, frame, bits = struct.unpack_from("<HHIIHH", layout)
    if encoding == EXTENSIBLE and len(layout) >= 26:
        encoding = struct.unpack_from("<H", layout, 24)[0]
    n_bytes = bits // 8
    readable = (encoding == PCM and bits in (8, 16, 24, 32)) or (encoding == FLOAT and bits in (32, 64))
    if not readable or not channels or frame != channels * n_bytes:
        raise ValueError(
            f"the .wav file has encoding {encoding} with {bits} bits; PCM of 8, 16, 24 or 32 bits is taken, "
            "or floats of 32 or 64"
        )
    samples = samples[: len(samples) // frame * frame]
    if encoding == FLOAT:
        return np.frombuffer(samples, f"<f{n_bytes}").astype(np.float64).reshape(-1, channels)
    if bits == 8:  # the only width without a sign
        return (np.frombuffer(samples, np.uint8).astype(np.float64) - 128).reshape(-1, channels) / 128
    # Into the upper bytes of 32 bits, where the sign is; the lower bytes stay 0.
    wide = np.zeros((len(samples) // n_bytes, 4), np.uint8)
    wide[:, 4 - n_bytes :] = np.frombuffer(samples, np.uint8).reshape(-1, n_bytes)
    return wide.view("<i4").astype(np.float64).reshape(-1, channels) / 2**31


def read_csv(data: bytes) -> NDArray[np.float64]:
    """Read a line per time step and a column per channel, with or without a header. Raises ValueError."""
    values, width = array("d"), 0  # lists of numbers would take ten times as much memory
    try:
        lines = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""))
        for number, cells in enumerate(lines, 1):
            if not cells:
                continue
            try:
                row = [np.nan if cell.strip().lower() in MISSING else float(cell) for cell in cells]
            except ValueError:
                if number == 1:
                    continue  # the header
                raise ValueError(
                    f"line {number}: expected numbers with commas, not '{cells[0]:.40}'"
                ) from None
            if values and len(row) != width:
                raise ValueError(f"line {number}: {len(row)} values, {width} expected")
            width = len(row)
            values.extend(row)
    except (csv.Error, UnicodeDecodeError):
        raise ValueError(f"the bytes are not {FILES}") from None
    if data.strip() and not values:
        raise ValueError(f"the bytes are not {FILES}: no line has numbers with commas")
    return np.frombuffer(values, np.float64).reshape(-1, max(width, 1)) if values else np.empty((0, 0))
