"""The datasets of time series, written as tables from what their sources distribute."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tailfuse.data.dataset import load_table
from tailfuse.data.labels import load_labels
from tailfuse.data.split import split_rows
from tailfuse.errors import RunError
from tailfuse.spec.schema import Spec
from tailfuse_bench import watch
from tailfuse_bench.datasets import DATASETS, SPOKEN_DIGITS, WATCH
from tailfuse_bench.selection import select_datasets
from tailfuse_bench.spoken_digits import RECORDINGS, find_recordings, write_spoken_digits
from tailfuse_bench.watch import FILE, STEPS, find_watch, write_watch
from tailfuse_service.bundle import sha256

from tests.support.wav import write_wav

EXERCISES = ["PEN", "ROW"]


def make_sound(steps: int) -> bytes:
    return write_wav(np.zeros((steps, 1)), 2)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Recordings of two digits by two speakers."""
    recordings = tmp_path / SPOKEN_DIGITS / RECORDINGS
    recordings.mkdir(parents=True)
    for digit in (0, 7):
        for speaker in ("george", "lucas"):
            for number in (0, 4, 5, 9, 10, 49):
                (recordings / f"{digit}_{speaker}_{number}.wav").write_bytes(make_sound(40 + number))
    return tmp_path


def test_digits_are_classes_and_the_first_recordings_test_rows(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    folders = select_datasets([SPOKEN_DIGITS], data, out)
    assert folders == {SPOKEN_DIGITS: out / SPOKEN_DIGITS}
    spec = Spec.model_validate(DATASETS[SPOKEN_DIGITS].document(folders[SPOKEN_DIGITS]))
    table = load_table(spec)
    assert sorted(table["label"].unique()) == ["0", "7"]
    assert dict(table["split"].value_counts().iter_rows()) == {"test": 8, "val": 8, "train": 8}
    assert set(table.filter(pl.col("split") == "test")["sound"].bin.size()) == {44 + 80, 44 + 88}


def test_a_table_is_written_once(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    select_datasets([], data, out)
    table = out / SPOKEN_DIGITS / "table.parquet"
    written = table.stat().st_mtime_ns
    select_datasets([], data, out)
    assert table.stat().st_mtime_ns == written


@pytest.mark.parametrize("name", ["seven.wav", "7_jackson.wav", "10_jackson_1.wav"])
def test_other_sounds_are_refused_by_name(data: Path, tmp_path: Path, name: str) -> None:
    recordings = data / SPOKEN_DIGITS / RECORDINGS
    (recordings / name).write_bytes(make_sound(4))
    with pytest.raises(RunError, match=f"{name} is not named DIGIT_SPEAKER_NUMBER.wav"):
        write_spoken_digits(recordings, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_of_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no \.wav file"):
        write_spoken_digits(tmp_path, tmp_path / "out")
    assert find_recordings(tmp_path) is None


def write_recordings(folder: Path) -> Path:
    """Write a file as seglearn's: a recording of 250 steps of each exercise and each of ten people."""
    file = folder / FILE
    file.parent.mkdir(parents=True)
    subjects = [subject for subject in range(1, 11) for _ in EXERCISES]
    recordings = {
        "X": [np.full((250, 6), float(subject)) + np.arange(6) for subject in subjects],
        "y": np.array([0, 1] * 10),
        "subject": np.array(subjects),
        "y_labels": EXERCISES,
    }
    np.save(file, np.array(recordings, dtype=object), allow_pickle=True)
    return file


def test_watch_windows_keep_people_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_recordings(tmp_path / WATCH)
    monkeypatch.setattr(watch, "SHA256", sha256(file))
    folder = select_datasets([WATCH], tmp_path, tmp_path / "out")[WATCH]
    spec = Spec.model_validate(DATASETS[WATCH].document(folder))
    table = load_table(spec)
    assert len(table) == 40  # two windows of each recording, without the rest of it
    assert (table["acceleration"].list.len() == STEPS).all()
    assert table["rotation"][0][0].to_list() == [4.0, 5.0, 6.0]
    split = split_rows(table, load_labels(table, spec), spec.split, 0)
    people = [set(table["subject"][rows]) for rows in (split.train, split.val, split.test)]
    assert [len(each) for each in people] == [6, 1, 3]
    assert len(set.union(*people)) == 10


def test_another_pickle_is_not_read(tmp_path: Path) -> None:
    file = write_recordings(tmp_path)
    assert find_watch(tmp_path) == file
    with pytest.raises(RunError, match=r"not the file of seglearn 1\.2\.5"):
        write_watch(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert find_watch(tmp_path / "elsewhere") is None
