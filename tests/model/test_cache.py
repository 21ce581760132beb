"""Arrays kept on disk: made once, made anew when damaged, kept in memory where there is no disk."""

import logging
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tailfuse.files.cache import cache_folder, cached, cached_rows, make_key

from tests.support.process import until

NUMBERS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Makes NUMBERS in two pieces, and counts how often."""

    times = 0

    def __call__(self) -> Iterator[Any]:
        self.times += 1
        yield NUMBERS[:1]
        yield NUMBERS[1:]


def numbers(make: Any) -> np.ndarray:
    return cached("numbers", NUMBERS.shape, np.float32, make)


def test_an_array_is_made_once(folder: Any) -> None:
    make = Maker()
    for _ in range(3):
        np.testing.assert_array_equal(numbers(make), NUMBERS)
    assert make.times == 1
    assert [file.name for file in folder.iterdir()] == ["numbers.npy"]
    np.testing.assert_array_equal(np.load(folder / "numbers.npy"), NUMBERS)


def test_what_is_done_to_the_array_is_not_done_to_the_file(folder: Any) -> None:
    numbers(Maker())[:] = 7
    np.testing.assert_array_equal(numbers(Maker()), NUMBERS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: b"something else",
        lambda content: content[:150] + bytes([content[150] ^ 1]) + content[151:],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    ],
    ids=["cut off", "empty", "another file", "one bit of a number", "one bit of the sum"],
)
def test_a_damaged_file_is_made_anew(folder: Any, damage: Any) -> None:
    make = Maker()
    numbers(make)
    file = folder / "numbers.npy"
    file.write_bytes(damage(file.read_bytes()))
    for _ in range(2):
        np.testing.assert_array_equal(numbers(make), NUMBERS)
    assert make.times == 2


def test_the_system_reads_nothing_ahead_of_the_rows_that_are_taken(folder: Any) -> None:
    array = numbers(Maker())
    _, _, mapping = Path("/proc/self/smaps").read_text().partition(str(folder / "numbers.npy"))
    flags = next(line for line in mapping.splitlines() if line.startswith("VmFlags:")).split()
    assert array.shape == NUMBERS.shape
    assert "rr" in flags  # MADV_RANDOM


def test_an_array_of_another_shape_or_type_is_not_taken_for_it(folder: Any) -> None:
    numbers(Maker())
    other = cached("numbers", (2,), np.uint8, lambda: [np.array([1, 2], np.uint8)])
    assert other.dtype == np.uint8
    assert other.tolist() == [1, 2]


def test_an_error_while_making_leaves_no_file(folder: Any) -> None:
    def broken() -> Iterator[Any]:
        yield NUMBERS[:1]
        raise ValueError("row 2")

    with pytest.raises(ValueError, match="row 2"):
        numbers(broken)
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_began_is_removed_a_day_later(folder: Any) -> None:
    folder.mkdir()
    (folder / ".old.npy.1.2.part").touch()
    (folder / ".new.npy.1.2.part").touch()
    os.utime(folder / ".old.npy.1.2.part", (0, time.time() - 2 * 86_400))
    numbers(Maker())
    assert {file.name for file in folder.iterdir()} == {".new.npy.1.2.part", "numbers.npy"}


def test_a_full_disk_is_said_once_and_the_array_kept_in_memory(
    folder: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage = shutil.disk_usage(folder.parent)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(numbers(Maker()), NUMBERS)
    assert [record.message for record in caplog.records] == [
        f"{folder}: the disk is too full; 0.0 GB are kept in memory instead "
        "(the variable TAILFUSE_CACHE names another folder)"
    ]
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_is_said_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TAILFUSE_CACHE", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(numbers(Maker()), NUMBERS)
    assert "not a directory" in caplog.text


def test_nothing_is_an_array_too(folder: Any) -> None:
    for _ in range(2):
        assert cached("nothing", (0, 3), np.float32, lambda: []).shape == (0, 3)


def test_the_cache_is_in_the_home_folder_unless_a_variable_names_another(
    folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == folder
    monkeypatch.delenv("TAILFUSE_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "tailfuse"


def test_a_key_tells_its_parts_apart() -> None:
    keys = [make_key("a", "bc"), make_key("ab", "c"), make_key("a", b"bc"), make_key(1), make_key("1")]
    assert len(set(keys)) == len(keys)
    assert make_key("a", 1) == make_key("a", 1)


def test_rows_of_different_lengths_are_made_once(folder: Any) -> None:
    rows = [np.array([[1, 2], [3, 4]], np.int32), np.array([[5, 6]], np.int32)]
    times = []

    def make() -> Iterator[Any]:
        times.append(1)
        yield np.empty((0, 9)), np.array([-1, -1])  # none of these rows is there: their type is unknown
        yield np.concatenate(rows), np.array([2, -1, 1])

    for _ in range(2):
        values, lengths = cached_rows("rows", 5, make)
        np.testing.assert_array_equal(values, np.concatenate(rows))
        assert values.dtype == np.int32
        assert lengths.tolist() == [-1, -1, 2, -1, 1]
    assert len(times) == 1


@pytest.mark.parametrize("damaged", ["rows.npy", "rows-lengths.npy"])
def test_if_one_of_the_two_files_is_damaged_both_are_made_anew(folder: Any, damaged: str) -> None:
    def make() -> Iterator[Any]:
        yield NUMBERS, np.ones(len(NUMBERS), np.int64)

    cached_rows("rows", len(NUMBERS), make)
    file = folder / damaged
    file.write_bytes(file.read_bytes()[:-1])
    values, lengths = cached_rows("rows", len(NUMBERS), make)
    np.testing.assert_array_equal(values, NUMBERS)
    assert lengths.tolist() == [1] * len(NUMBERS)


def test_no_row_at_all_is_not_an_error(folder: Any) -> None:
    for _ in range(2):
        values, lengths = cached_rows("rows", 2, lambda: [(np.empty((0, 3)), np.array([-1, -1]))])
        assert (len(values), lengths.tolist()) == (0, [-1, -1])


def make_slowly(began: Path, goes_on: Path) -> Iterator[Any]:
    """Make NUMBERS, but not before `goes_on` is there."""
    add_line(began)
    until(goes_on.exists, "the array may be made")
    yield NUMBERS


def add_line(file: Path) -> None:
    with file.open("a") as out:
        out.write("line\n")


def count_lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def make_rows_slowly(began: Path, goes_on: Path) -> Iterator[Any]:
    """Make NUMBERS as rows of one number each."""
    for values in make_slowly(began, goes_on):
        yield values, np.full(len(values), 1)


def make_in_a_process(name: str, began: Path, goes_on: Path) -> None:
    add_line(began.with_name("wanted"))
    if name == "rows":
        cached_rows("numbers", len(NUMBERS), partial(make_rows_slowly, began, goes_on))
    else:
        cached("numbers", NUMBERS.shape, np.float32, partial(make_slowly, began, goes_on))


@pytest.mark.parametrize("name", ["array", "rows"])
def test_of_several_processes_one_makes_it_and_the_others_find_it(folder: Any, name: str) -> None:
    began, goes_on = folder.parent / "began", folder.parent / "goes on"
    processes = [
        multiprocessing.get_context("fork").Process(target=make_in_a_process, args=(name, began, goes_on))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    until(lambda: count_lines(folder.parent / "wanted") == 3, "all processes want it")
    goes_on.touch()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert count_lines(began) == 1
    assert not list(folder.glob(".*"))


def test_what_a_killed_process_held_is_made_by_the_next(folder: Any) -> None:
    began, goes_on = folder.parent / "began", folder.parent / "goes on"
    process = multiprocessing.get_context("fork").Process(
        target=make_in_a_process, args=("array", began, goes_on)
    )
    process.start()
    until(began.exists, "it is being made")
    process.kill()
    process.join()
    make = Maker()
    np.testing.assert_array_equal(numbers(make), NUMBERS)
    assert make.times == 1
