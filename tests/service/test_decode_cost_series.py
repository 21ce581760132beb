"""The kind of a file of a series is enough to bound the memory that reading it takes."""

import io
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from tailfuse_service.modalities.series.files import estimate_decode_bytes

BYTES = 4_000_000
# Prints the growth of the peak of resident memory, in bytes, while one file is read.
MEASURE = """
import contextlib, sys
from tailfuse_service.errors import InvalidInput
from tailfuse_service.modalities import SeriesModality
from tailfuse_service.modalities.series import Channel
features = SeriesModality(columns=("s",), channels=(Channel(mean=0.0, scale=1.0),), length=64).features("s")
data = open(sys.argv[1], "rb").read()
read = lambda: {line.split(":")[0]: line.split()[1] for line in open("/proc/self/status") if "Vm" in line}
features.apply(data[:0] or b"1\\n2\\n")
open("/proc/self/clear_refs", "w").write("5")  # resets the peak
before = int(read()["VmRSS"])
with contextlib.suppress(InvalidInput):
    features.apply(data)
print((int(read()["VmHWM"]) - before) * 1024)
"""


def make_npy(kind: str) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(BYTES // np.dtype(kind).itemsize, kind))
    return file.getvalue()


def make_wav(n_bytes: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(n_bytes)
        out.setframerate(8000)
        out.writeframes(bytes(BYTES))
    return file.getvalue()


FILES = {
    "npy of int8": make_npy("int8"),
    "npy of bool": make_npy("bool"),
    "npy of float16": make_npy("float16"),
    "npy of float64": make_npy("float64"),
    "wav of 8 bits": make_wav(1),
    "wav of 16 bits": make_wav(2),
    "wav of 24 bits": make_wav(3),
    "csv of digits": b"1\n" * (BYTES // 2),
    "csv in one line": b"1" + b",1" * 30_000 + b"\n",
    "csv of numbers": b"-1.2345\n" * (BYTES // 8),
    "JSON of digits": b"[1" + b",1" * (BYTES // 2) + b"]",
    "JSON of steps": b"[[1]" + b",[1]" * (BYTES // 4) + b"]",
    "JSON of decimals": b"[1.5" + b",1.5" * (BYTES // 4) + b"]",
    "JSON of nothing": b"[null" + b",[]" * (BYTES // 3) + b"]",
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak memory from /proc")
@pytest.mark.parametrize("name", FILES)
def test_reading_a_file_takes_no_more_memory_than_estimated(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(FILES[name])
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "file")]
    measured = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(name, round(measured / len(FILES[name]), 1))
    assert measured <= estimate_decode_bytes(FILES[name]) + 2**20
