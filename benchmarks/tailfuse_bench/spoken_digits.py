"""Spoken digits as a dataset of the benchmark: 3,000 recordings, the digits are the classes.

They are the Free Spoken Digit Dataset (CC BY-SA 4.0), for evaluation; tailfuse does not ship them:

    git clone https://github.com/Jakobovski/free-spoken-digit-dataset DATA/spoken_digits
"""

import re
from pathlib import Path

import polars as pl
from tailfuse.errors import RunError
from tailfuse_service.bundle import atomic_folder

from tailfuse_bench.datasets import table_path

RECORDINGS = "recordings"  # the folder in the repository
NAME = re.compile(r"(?P<digit>[0-9])_[a-z]+_(?P<number>[0-9]+)")  # 7_jackson_32
MAX_TEST, MAX_VAL = 4, 9  # numbers of a speaker's recordings of a digit: the test rows are the dataset's own


def find_recordings(folder: Path) -> Path | None:
    """Return the folder of the recordings in a clone of the repository; None if there is none."""
    found = folder / RECORDINGS
    return found if found.is_dir() else None


def write_spoken_digits(recordings: Path, folder: Path) -> None:
    """Write the table of the recordings into a new folder. Raises RunError."""
    rows = []
    for file in sorted(recordings.glob("*.wav")):
        name = NAME.fullmatch(file.stem)
        if name is None:
            raise RunError(f"{file} is not named DIGIT_SPEAKER_NUMBER.wav")
        number = int(name["number"])
        part = "test" if number <= MAX_TEST else "val" if number <= MAX_VAL else "train"
        rows.append({"label": name["digit"], "split": part, "sound": file.read_bytes()})
    if not rows:
        raise RunError(f"{recordings} holds no .wav file")
    with atomic_folder(folder) as target:
        pl.DataFrame(rows).write_parquet(table_path(target))
